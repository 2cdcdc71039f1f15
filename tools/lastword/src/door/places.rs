//! How many connections are served at the same time, by what they ask: who waits or follows takes no place of who gives
//! commands. Each way in has places of its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{MOST_CONNECTIONS, MOST_FOLLOWING, MOST_REFUSED, MOST_WAITING};
use super::refusal::Refusal;
use super::routes::Place;

/// The places of one way in.
pub(super) struct Places {
    commands: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    follows: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

/// The place of one connection, until it is dropped.
pub(super) struct Held {
    is: Mutex<(Place, OwnedSemaphorePermit)>,
    /// Whether it has one among those that are served.
    pub(super) is_served: bool,
}

impl Places {
    pub(super) fn new() -> Places {
        let places = |most| Arc::new(Semaphore::new(most));
        Places {
            commands: places(MOST_CONNECTIONS),
            waits: places(MOST_WAITING),
            follows: places(MOST_FOLLOWING),
            refused: places(MOST_REFUSED),
        }
    }

    /// A place for a connection; if there is none one among those that are told so; nothing if there is none of these either.
    pub(super) fn take(&self) -> Option<Held> {
        let served = Arc::clone(&self.commands).try_acquire_owned().ok();
        let is_served = served.is_some();
        let permit = served.or_else(|| Arc::clone(&self.refused).try_acquire_owned().ok())?;
        Some(Held { is: Mutex::new((Place::Command, permit)), is_served })
    }

    /// Gives a connection a place among those that wait or follow, for as long as it is there.
    pub(super) fn change(&self, held: &Held, wanted: Place) -> Result<(), Refusal> {
        let mut is = held.is.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted == Place::Command || is.0 == wanted {
            return Ok(());
        }
        let (semaphore, most, what) = match wanted {
            Place::Follow => (&self.follows, MOST_FOLLOWING, "follow events"),
            Place::Command | Place::Wait => (&self.waits, MOST_WAITING, "wait"),
        };
        let permit = Arc::clone(semaphore).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::busy(format!("{most} clients {what} already, try again")))?;
        *is = (wanted, permit);
        Ok(())
    }
}

/// What is said to who has no place.
pub(super) fn no_place() -> Refusal {
    Refusal::busy(format!("{MOST_CONNECTIONS} connections are open, try again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_or_follows_leaves_the_place_of_a_command_free() {
        let places = Places::new();
        let mut held = Vec::new();
        for place in [Place::Wait, Place::Follow] {
            let most = if place == Place::Wait { MOST_WAITING } else { MOST_FOLLOWING };
            for _ in 0..most {
                let one = places.take().unwrap();
                places.change(&one, place).unwrap();
                // Asking again takes no second one.
                places.change(&one, place).unwrap();
                held.push(one);
            }
            let more = places.take().unwrap();
            assert_eq!(places.change(&more, place).unwrap_err().status, 503);
        }
        let commands: Vec<_> = (0..MOST_CONNECTIONS).map(|_| places.take().unwrap()).collect();
        assert!(commands.iter().all(|held| held.is_served));
        assert!(!places.take().unwrap().is_served);
        drop(commands);
        assert!(places.take().unwrap().is_served);
    }
}
