//! Real servers, as processes that end with this one.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Pinned: what a test says of a server is said of this version.
const MOTO: &str = "moto[s3,server]==5.2.5";
const AZURITE: &str = "azurite@3.37.0";
const S3RVER: &str = "s3rver@3.7.1";

/// The account that Azurite has, and its key: both stand in its documentation.
pub const AZURITE_ACCOUNT: &str = "devstoreaccount1";
pub const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The pair of keys that s3rver knows, an identity and its secret: both stand in its documentation.
pub const S3RVER_KEYS: [&str; 2] = ["S3RVER", "S3RVER"];

/// A server under way. It reads its standard input and ends when that does, so it never outlives this process.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
}

/// moto in server mode, one for all tests of this program.
pub fn moto() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| told("moto", start_moto())).as_ref()
}

/// s3rver, one for all tests of this program. It checks signatures, which moto does not, and takes no notice of conditions
/// on reads, which moto does.
pub fn s3rver() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| told("s3rver", start_s3rver())).as_ref()
}

/// Azurite's blob service, one for all tests of this program.
pub fn azurite() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| told("azurite", start_azurite())).as_ref()
}

/// A Python that has this package of PyPI, such as `name==1.2`.
pub fn python_with(package: &str) -> Option<PathBuf> {
    let name = package.split("==").next().unwrap_or(package);
    let home = home(name);
    let python = home.join("venv/bin/python");
    let made = installed(&home, package, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(home.join("venv")))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]))
    });
    told(name, made.map(|()| python))
}

fn told<T>(name: &str, started: Result<T, String>) -> Option<T> {
    let required = std::env::var_os("LASTWORD_REQUIRE_SERVERS").is_some_and(|value| value == "1");
    match started {
        Ok(server) => Some(server),
        Err(why) if required => panic!("{name} cannot be started: {why}"),
        Err(why) => {
            eprintln!("skipped: {name} cannot be started: {why}");
            None
        }
    }
}

/// Where servers are installed: below the directory of the build, whichever that is.
fn home(name: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let target = program.ancestors().find(|place| place.ends_with("debug") || place.ends_with("release"));
    target.and_then(Path::parent).unwrap_or(&std::env::temp_dir()).join("servers").join(name)
}

/// Runs `install` unless it has come to its end before. Programs of tests wait for each other.
fn installed(home: &Path, what: &str, install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    fs::create_dir_all(home).map_err(|error| error.to_string())?;
    let lock = File::create(home.join("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let done = home.join("installed");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == what) {
        return Ok(());
    }
    install()?;
    fs::write(done, what).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()))
}

fn start_moto() -> Result<Server, String> {
    let home = home("moto");
    let python = home.join("venv/bin/python");
    installed(&home, MOTO, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(home.join("venv")))?;
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", MOTO]))
    })?;
    let program = "import os, sys, threading\n\
                   threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()\n\
                   from moto.server import main\n\
                   main(['-H', '127.0.0.1', '-p', sys.argv[1]])\n";
    let port = free_port();
    Server::start(Command::new(python).args(["-c", program, &port.to_string()]), port)
}

fn start_s3rver() -> Result<Server, String> {
    let program = "process.stdin.on('end', () => process.exit()).resume();\n\
                   const S3rver = require('s3rver');\n\
                   const [port, directory] = process.argv.slice(2);\n\
                   new S3rver({ address: '127.0.0.1', port: Number(port), silent: true, directory }).run();\n";
    let port = free_port();
    let data = std::env::temp_dir().join(format!("lastword-test-s3rver-{}", std::process::id()));
    Server::start(node_with("s3rver", S3RVER, program)?.arg(port.to_string()).arg(data), port)
}

fn start_azurite() -> Result<Server, String> {
    let program = "process.stdin.on('end', () => process.exit()).resume();\n\
                   require('azurite/dist/src/blob/main.js');\n";
    let port = free_port();
    let port_text = port.to_string();
    let arguments =
        ["--blobHost", "127.0.0.1", "--blobPort", &port_text, "--inMemoryPersistence", "--skipApiVersionCheck"];
    Server::start(node_with("azurite", AZURITE, program)?.args(arguments).arg("--silent"), port)
}

/// That program, where the package can be required.
fn node_with(name: &str, package: &str, program: &str) -> Result<Command, String> {
    let home = home(name);
    installed(&home, package, || {
        fs::write(home.join("package.json"), "{}").map_err(|error| error.to_string())?;
        run(Command::new("npm").current_dir(&home).args(["install", "--no-audit", "--no-fund", "--silent", package]))
    })?;
    let script = home.join("start.js");
    fs::write(&script, program).map_err(|error| error.to_string())?;
    let mut command = Command::new("node");
    command.current_dir(&home).arg(script);
    Ok(command)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    fn start(command: &mut Command, port: u16) -> Result<Server, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("{command:?}: {error}"))?;
        let mut errors = child.stderr.take().unwrap();
        // Whoever writes into a full pipe stands still.
        let said = thread::spawn(move || {
            let mut said = String::new();
            let _ = errors.read_to_string(&mut said);
            said
        });
        let mut server = Server { child, endpoint: format!("http://127.0.0.1:{port}") };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("it ended: {}", said.join().unwrap_or_default()));
            }
            if begin.elapsed() > Duration::from_secs(60) {
                return Err("it does not listen after a minute".to_owned());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

/// Sends one request that needs no signature, and gives back the status.
pub fn request(endpoint: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer: {answer}"))
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a container of Azurite's account. That needs a signature (Shared Key), and no client that is here makes containers.
pub fn make_container(server: &Server, name: &str) {
    let program = "import base64, hashlib, hmac, sys, urllib.request\n\
                   from email.utils import formatdate\n\
                   endpoint, account, key, name = sys.argv[1:]\n\
                   date = formatdate(usegmt=True)\n\
                   text = f'PUT\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\n\\nx-ms-date:{date}\\nx-ms-version:2021-08-06\\n'\n\
                   text += f'/{account}/{account}/{name}\\nrestype:container'\n\
                   mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()\n\
                   headers = {'x-ms-date': date, 'x-ms-version': '2021-08-06',\n\
                   \x20 'Authorization': f'SharedKey {account}:{base64.b64encode(mac).decode()}', 'Content-Length': '0'}\n\
                   url = f'{endpoint}/{account}/{name}?restype=container'\n\
                   urllib.request.urlopen(urllib.request.Request(url, method='PUT', headers=headers))\n";
    run(Command::new("python3").args(["-c", program, &server.endpoint, AZURITE_ACCOUNT, AZURITE_KEY, name])).unwrap();
}
