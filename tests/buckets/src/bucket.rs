//! One bucket of a server, as the one who writes into it sees it, and as the library does.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use lastword::external::{Access, Bucket as BucketName, Buckets, SecretName, SourceLocation, SourceUri};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::signer::Signer as _;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::servers::{self, AZURITE_ACCOUNT, AZURITE_KEY, S3RVER_KEYS};
use crate::stage::Stage;

/// Who asks, and the key of it, where nothing checks either. Nothing may show them.
pub const SECRET: &str = "s3cr3t-0f-the-tests";

/// A bucket that only one test has.
pub struct Bucket {
    runtime: Runtime,
    store: Box<dyn ObjectStore>,
    /// As `s3://test-1`.
    pub name: String,
    /// Who serves it: `moto`, `s3rver`, `azurite`, or `stage`, the server in this process.
    pub server: &'static str,
    pub access: Access,
    /// The server, if it is in this process: it ends with the last bucket.
    stage: Option<Stage>,
}

/// Every kind of server that can be had, each with a new bucket.
pub fn all() -> Vec<Bucket> {
    [s3(), s3rver(), az(), Some(gs(&Stage::start())), Some(staged(&Stage::start()))].into_iter().flatten().collect()
}

/// What no other test has named.
fn unused() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// At moto.
pub fn s3() -> Option<Bucket> {
    let server = servers::moto()?;
    let name = unused();
    assert_eq!(servers::request(&server.endpoint, "PUT", &format!("/{name}"), &[], b""), 200);
    Some(s3_at("moto", &server.endpoint, &name, [SECRET; 2]))
}

/// At s3rver.
pub fn s3rver() -> Option<Bucket> {
    let server = servers::s3rver()?;
    let name = unused();
    let bucket = s3_at("s3rver", &server.endpoint, &name, S3RVER_KEYS);
    let client = s3_client(&server.endpoint, &name, S3RVER_KEYS);
    let minute = std::time::Duration::from_secs(60);
    let (root, method) = (Key::default(), hyper::Method::PUT);
    let url = bucket.runtime.block_on(client.signed_url(method, &root, minute)).unwrap().to_string();
    assert_eq!(servers::request(&server.endpoint, "PUT", &url[server.endpoint.len()..], &[], b""), 200);
    Some(bucket)
}

/// At the server in this process.
pub fn staged(stage: &Stage) -> Bucket {
    let bucket = s3_at("stage", &stage.endpoint, &stage.new_bucket(&unused()), [SECRET; 2]);
    Bucket { stage: Some(stage.clone()), ..bucket }
}

fn s3_client(endpoint: &str, name: &str, [identity, secret]: [&str; 2]) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(name)
        .with_access_key_id(identity)
        .with_secret_access_key(secret)
        .with_disable_bulk_delete(true)
        .build()
        .unwrap()
}

/// A bucket of this name at whatever speaks S3 there.
fn s3_at(server: &'static str, endpoint: &str, name: &str, keys: [&str; 2]) -> Bucket {
    let [access_key_id, secret_access_key] = keys.map(|key| Some(secret_file(key)));
    let access = Access {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        access_key_id,
        secret_access_key,
        allow_http: true,
        ..Access::default()
    };
    let store = Box::new(s3_client(endpoint, name, keys));
    Bucket { runtime: runtime(), store, name: format!("s3://{name}"), server, access, stage: None }
}

/// A secret is looked up in a file, for tests must not change their environment.
fn secret_file(secret: &str) -> SecretName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("lastword-test-secret-{}-{number}", std::process::id()));
    std::fs::write(&file, secret).unwrap();
    SecretName::parse(&format!("file:{}", file.display())).unwrap()
}

/// What is read as Google's, from the server in this process: its XML interface is S3's but for how requests are signed.
pub fn gs(stage: &Stage) -> Bucket {
    let name = stage.new_bucket(&unused());
    let store = GoogleCloudStorageBuilder::new()
        .with_base_url(&stage.endpoint)
        .with_client_options(object_store::ClientOptions::new().with_allow_http(true))
        .with_bearer_token("nothing checks it")
        .with_bucket_name(&name)
        .build()
        .unwrap();
    let endpoint = Some(stage.endpoint.clone());
    let access = Access { endpoint, allow_http: true, anonymous: true, ..Access::default() };
    Bucket {
        runtime: runtime(),
        store: Box::new(store),
        name: format!("gs://{name}"),
        server: "stage",
        access,
        stage: Some(stage.clone()),
    }
}

/// At Azurite.
pub fn az() -> Option<Bucket> {
    let server = servers::azurite()?;
    let name = unused();
    let endpoint = format!("{}/{AZURITE_ACCOUNT}", server.endpoint);
    servers::make_container(server, &name);
    let store = MicrosoftAzureBuilder::new()
        .with_endpoint(endpoint.clone())
        .with_allow_http(true)
        .with_account(AZURITE_ACCOUNT)
        .with_access_key(AZURITE_KEY)
        .with_container_name(&name)
        .build()
        .unwrap();
    let access = Access {
        endpoint: Some(endpoint),
        account: Some(AZURITE_ACCOUNT.to_owned()),
        access_key: Some(secret_file(AZURITE_KEY)),
        allow_http: true,
        ..Access::default()
    };
    Some(Bucket {
        runtime: runtime(),
        store: Box::new(store),
        name: format!("az://{name}"),
        server: "azurite",
        access,
        stage: None,
    })
}

impl Bucket {
    pub fn put(&self, key: &str, content: &[u8]) {
        let key = Key::parse(key).unwrap();
        self.runtime.block_on(self.store.put(&key, content.to_vec().into())).unwrap();
    }

    pub fn delete(&self, key: &str) {
        self.runtime.block_on(self.store.delete(&Key::parse(key).unwrap())).unwrap();
    }

    /// All keys, as another client than the library's lists them.
    pub fn keys(&self) -> Vec<String> {
        let listed = self.runtime.block_on(self.store.list(None).try_collect::<Vec<_>>()).unwrap();
        listed.into_iter().map(|object| String::from(object.location)).collect()
    }

    /// Copies an object onto itself, as who changes its metadata does.
    pub fn copy(&self, from: &str, to: &str) {
        let (from, to) = (Key::parse(from).unwrap(), Key::parse(to).unwrap());
        self.runtime.block_on(self.store.copy(&from, &to)).unwrap();
    }

    /// The server in this process that it lies at.
    pub fn stage(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// How a configuration says where it is and who asks.
    pub fn toml(&self) -> String {
        let Access { endpoint, account, access_key_id, secret_access_key, access_key, .. } = &self.access;
        let secret = |name: &Option<SecretName>| name.as_ref().map(ToString::to_string);
        let texts = [
            ("endpoint", endpoint.clone()),
            ("account", account.clone()),
            ("access_key_id", secret(access_key_id)),
            ("secret_access_key", secret(secret_access_key)),
            ("access_key", secret(access_key)),
        ];
        let lines = texts.into_iter().filter_map(|(key, value)| Some(format!("{key} = \"{}\"\n", value?)));
        let anonymous = self.access.anonymous;
        format!("[stores.\"{}\"]\n{}allow_http = true\nanonymous = {anonymous}\n", self.name, lines.collect::<String>())
    }

    /// What reads it.
    pub fn buckets(&self) -> Buckets {
        Buckets::new().access(self.named(), self.access.clone())
    }

    pub fn named(&self) -> BucketName {
        BucketName::parse(&self.name).unwrap()
    }

    /// A prefix of it as a source.
    pub fn source(&self, prefix: &str) -> SourceLocation {
        SourceUri::parse(&format!("{}/{prefix}", self.name)).unwrap().resolve("".as_ref()).unwrap()
    }
}
