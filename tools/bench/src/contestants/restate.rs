//! Restate: a virtual object per collection, called over HTTP with connections that are kept. Its server runs one call
//! per key at a time, and answers when the state that the call has set is durable: see
//! `tools/bench/peers/restate/collection.mjs`. Objects come to be with their first call.

use std::net::TcpListener;

use ureq::Agent;

use super::Peer;
use crate::failure::Result;
use crate::load::Client;
use crate::peers::Server;
use crate::place::Place;
use crate::workload::Change;

/// Restate's server, and the process that holds the handlers.
pub(crate) struct Restate {
    _server: Server,
    _service: Server,
    calls: u16,
}

impl Restate {
    pub(crate) fn start(place: &Place) -> Result<Restate> {
        let [calls, admin, fabric, service_port] = free_ports()?;
        let (data, log) = (place.path("restate"), place.path("restate.log"));
        let data = data.to_str().ok_or("the path of the data is not UTF-8")?;
        let ports = [calls, admin, fabric].map(|port| port.to_string());
        let mut server = Server::start("Restate", "restate/start", &[data, &ports[0], &ports[1], &ports[2]], &log)?;
        let service_log = place.path("restate-service.log");
        let mut service =
            Server::start("Restate's service", "restate/serve", &[&service_port.to_string()], &service_log)?;
        service.wait_for(&service_log, || Ok(std::net::TcpStream::connect(("127.0.0.1", service_port))?))?;
        let agent = agent();
        server.wait_for(&log, || Ok(agent.get(format!("http://127.0.0.1:{admin}/health")).call()?))?;
        agent
            .post(format!("http://127.0.0.1:{admin}/deployments"))
            .content_type("application/json")
            .send(format!(r#"{{"uri":"http://127.0.0.1:{service_port}"}}"#))?;
        let restate = Restate { _server: server, _service: service, calls };
        // The first call may come before all of its partitions have a leader.
        let mut first = Blocking { agent, calls };
        let change = || Change { name: "first".to_owned(), source: "s3://first".to_owned() };
        first.declare(change()).or_else(|_| first.declare(change()))?;
        Ok(restate)
    }
}

impl Peer for Restate {
    fn name(&self) -> &'static str {
        "Restate"
    }

    fn clients(&self, count: usize) -> Result<Vec<Box<dyn Client>>> {
        let client = |_| Box::new(Blocking { agent: agent(), calls: self.calls }) as Box<dyn Client>;
        Ok((0..count).map(client).collect())
    }
}

struct Blocking {
    agent: Agent,
    calls: u16,
}

impl Client for Blocking {
    fn declare(&mut self, change: Change) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/collection/{}/declare", self.calls, change.name);
        // No character of a source has to be escaped in JSON.
        let body = format!("\"{}\"", change.source);
        let mut answer = self.agent.post(url).content_type("application/json").send(body)?;
        // Read to its end, or the connection could not be used again.
        answer.body_mut().read_to_string()?.parse::<u64>()?;
        Ok(())
    }
}

fn agent() -> Agent {
    // A call that hangs would hang the run.
    let patience = Some(std::time::Duration::from_secs(20));
    Agent::config_builder().timeout_global(patience).build().into()
}

/// Ports of this machine that nobody listens on at the moment.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All of them are held until all of them are known, so that none comes twice.
    let held = (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
