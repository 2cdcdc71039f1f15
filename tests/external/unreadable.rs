//! A file that is listed and cannot be read, by an error of its disk: nothing may be concluded from it. The file system is
//! the real one of `half_listed.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::half_listed::{Faults, HalfListed};
use super::lake::{Lake, changed};

/// What a look says of a file that gives EIO.
const CAUSE: &str = "/d/a cannot be read: Input/output error (os error 5)";

/// Files that were written then, of this content.
fn faults(written: u64, content: u8) -> Arc<Faults> {
    let faults = Faults::default();
    faults.written.store(written, Ordering::Release);
    faults.content.store(content, Ordering::Release);
    Arc::new(faults)
}

/// A lake on such a file system whose files were read, and what it is made to fail by.
fn lake<'a>(target: &'a std::path::Path, faults: &Arc<Faults>) -> Option<(Lake, HalfListed<'a>)> {
    let mounted = HalfListed::at(target, Arc::clone(faults))?;
    let mut lake = Lake::of(target);
    assert_eq!(lake.aged().state.set.unwrap().files, 3);
    assert!(!changed(&lake.aged()));
    Some((lake, mounted))
}

#[test]
fn defect_21_a_content_check_fails_with_the_file_that_it_cannot_compare() {
    let (dir, faults) = (tempfile::tempdir().unwrap(), faults(1_000_000_000, 1));
    let Some((mut lake, _mounted)) = lake(dir.path(), &faults) else { return println!("skipped: no FUSE here") };
    faults.reading.store(5, Ordering::Release);
    lake.verify = true;
    assert!(lake.look_when_aged().unwrap_err().to_string().ends_with(CAUSE));
    // It was not compared, so it is asked for until it is.
    assert!(lake.look_when_aged().unwrap_err().to_string().ends_with(CAUSE));
    faults.reading.store(0, Ordering::Release);
    assert!(!changed(&lake.aged()));
    // The same where it is another one.
    faults.reading.store(5, Ordering::Release);
    lake.verify = true;
    lake.look_when_aged().unwrap_err();
    faults.content.store(2, Ordering::Release);
    faults.reading.store(0, Ordering::Release);
    assert!(changed(&lake.aged()));
}

#[test]
fn defect_21_another_file_system_whose_times_say_nothing_is_not_the_same_because_it_cannot_be_read() {
    let (dir, first) = (tempfile::tempdir().unwrap(), faults(0, 1));
    let Some((mut lake, mounted)) = lake(dir.path(), &first) else { return println!("skipped: no FUSE here") };
    drop(mounted);
    let second = faults(0, 2);
    second.reading.store(5, Ordering::Release);
    let _mounted = HalfListed::at(dir.path(), Arc::clone(&second)).unwrap();
    assert!(lake.look_when_aged().unwrap_err().to_string().ends_with(CAUSE));
    second.reading.store(0, Ordering::Release);
    assert!(changed(&lake.look_when_aged().unwrap()));
}

#[test]
fn defect_21_a_changed_file_that_cannot_be_read_is_not_too_young() {
    let (dir, faults) = (tempfile::tempdir().unwrap(), faults(1_000_000_000, 1));
    let Some((mut lake, _mounted)) = lake(dir.path(), &faults) else { return println!("skipped: no FUSE here") };
    faults.reading.store(5, Ordering::Release);
    // Another time with the old size: the content decides. Then one that is racy as well.
    for written in [1_000_000_001, lake.now().0 / 1_000_000] {
        faults.written.store(written, Ordering::Release);
        assert!(lake.look_at(lake.now()).unwrap_err().to_string().ends_with(CAUSE));
    }
    faults.reading.store(0, Ordering::Release);
    assert!(!changed(&lake.aged()), "it was only touched");
}
