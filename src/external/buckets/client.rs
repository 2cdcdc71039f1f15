//! The client of one bucket, made with the `object_store` crate. It must not know what is asked of it.

use std::sync::Arc;
use std::time::Duration;

use object_store::list::PaginatedListStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::access::Access;
use super::environment;
use super::meter::{Meter, Metered};
use crate::external::{Bucket, FieldError, Scheme};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer, or a piece of one, may stay away: below what a request is given up after as a whole, so that it is
/// tried once more before.
const PIECE: Duration = Duration::from_secs(25);

/// What all stores can do that are read here.
pub(super) trait Remote: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> Remote for T {}

/// The client of one bucket.
pub(super) struct Client {
    pub(super) remote: Box<dyn Remote>,
    pub(super) meter: Arc<Meter>,
}

impl Client {
    /// A client; credentials that are named are looked up. Nothing is asked yet.
    pub(super) fn new(bucket: &Bucket, access: &Access) -> Result<Client, String> {
        access.check(bucket).map_err(|error| error.to_string())?;
        let (all, reads): (Vec<_>, _) = (std::env::vars_os().collect(), environment::Reads::of(bucket.scheme()));
        let breaks = |name: &str, value: &str| reads.breaks(name, value);
        environment::check(bucket.scheme(), access, &all, |name| reads.reads(name), breaks)?;
        let meter = Arc::default();
        let remote = remote(bucket, access, &meter)?;
        Ok(Client { remote, meter })
    }
}

/// Whether this program was built with what reads buckets of this kind.
pub(super) fn serves(scheme: Scheme) -> Result<(), FieldError> {
    let has = match scheme {
        Scheme::S3 => cfg!(feature = "s3"),
        Scheme::Gs => cfg!(feature = "gs"),
        Scheme::Az => cfg!(feature = "az"),
    };
    let problem = || format!("is a place that this program cannot read: it was built without the feature `{scheme}`");
    if has { Ok(()) } else { Err(FieldError::new("source", problem())) }
}

fn remote(bucket: &Bucket, access: &Access, meter: &Arc<Meter>) -> Result<Box<dyn Remote>, String> {
    match bucket.scheme() {
        #[cfg(feature = "s3")]
        Scheme::S3 => s3(bucket, access, meter),
        #[cfg(feature = "gs")]
        Scheme::Gs => gs(bucket, access, meter),
        #[cfg(feature = "az")]
        Scheme::Az => az(bucket, access, meter),
        #[cfg(not(all(feature = "s3", feature = "gs", feature = "az")))]
        other => {
            let _ = (access, meter);
            serves(other).map_err(|error| error.to_string())?;
            Err(format!("nothing reads {other}://"))
        }
    }
}

/// What a builder says is wrong may repeat what it was given.
#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn built<T: Remote>(made: object_store::Result<T>) -> Result<Box<dyn Remote>, String> {
    let made = made.map_err(|error| {
        // The one thing that is found out here and nowhere else, in words of the client that hold no value.
        let said = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let is_key = said.map(|error| error.to_string()).any(|text| text.contains("Invalid Access Key"));
        let problem = match is_key {
            true => {
                "the key of the account is not in base64, as Azure gives it: look at access_key of [stores], or \
                 AZURE_STORAGE_ACCOUNT_KEY"
            }
            false => "its region, endpoint or credentials are not what this kind of store takes",
        };
        problem.to_owned()
    })?;
    Ok(Box::new(made))
}

#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn options(allow_http: bool) -> ClientOptions {
    let options = ClientOptions::new().with_allow_http(allow_http).with_connect_timeout(CONNECT);
    // What is large takes its time; what does not come is what counts.
    options.with_timeout_disabled().with_read_timeout(PIECE)
}

/// Whether http:// may be used: said, or told by the environment.
#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn allows_http(access: &Access, endpoint: Option<&str>, scheme: Scheme) -> Result<bool, String> {
    let variable = environment::allows_http(scheme);
    let said = std::env::var(variable).ok().and_then(|said| environment::yes_or_no(&said));
    let allowed = access.allow_http || said == Some(true);
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") && !allowed => Err(format!(
            "its endpoint is http://, over which everything can be read on the way; allow_http = true or {variable}=true \
             allows it"
        )),
        _ => Ok(allowed),
    }
}

/// Trouble of the store is waited out, for less long than silence is.
#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 12, retry_timeout: Duration::from_secs(50), ..RetryConfig::default() }
}

#[cfg(feature = "s3")]
fn s3(bucket: &Bucket, access: &Access, meter: &Arc<Meter>) -> Result<Box<dyn Remote>, String> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket.name());
    let endpoint = access.endpoint.clone().or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
    let allow_http = allows_http(access, endpoint.as_deref(), Scheme::S3)?;
    let in_host = access.path_style == Some(false);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(if in_host { hosted(&endpoint, bucket.name()) } else { endpoint });
    }
    if let Some(path_style) = access.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    if let Some(region) = &access.region {
        builder = builder.with_region(region);
    }
    if let (Some(id), Some(secret)) = (&access.access_key_id, &access.secret_access_key) {
        builder = builder.with_access_key_id(id.look_up_key()?).with_secret_access_key(secret.look_up_key()?);
        // One of the environment belongs to the key of the environment.
        builder = match &access.session_token {
            Some(token) => builder.with_token(token.look_up_key()?),
            None => without_token(builder),
        };
    }
    if access.anonymous {
        builder = builder.with_skip_signature(true);
    }
    // Not every store can remove many objects in one request.
    let builder = builder.with_disable_bulk_delete(true);
    let metered = Metered(Arc::clone(meter));
    built(builder.with_client_options(options(allow_http)).with_retry(retry()).with_http_connector(metered).build())
}

/// An empty token would be sent, and refused: there is none only in a builder that was never given one.
#[cfg(feature = "s3")]
fn without_token(builder: object_store::aws::AmazonS3Builder) -> object_store::aws::AmazonS3Builder {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

    if builder.get_config_value(&Key::Token).is_none() {
        return builder;
    }
    let kept = [
        Key::AccessKeyId,
        Key::SecretAccessKey,
        Key::Region,
        Key::DefaultRegion,
        Key::Bucket,
        Key::Endpoint,
        Key::VirtualHostedStyleRequest,
    ];
    kept.into_iter().fold(AmazonS3Builder::new(), |made, key| match builder.get_config_value(&key) {
        Some(value) => made.with_config(key, value),
        None => made,
    })
}

/// The endpoint with the bucket in the name of the host.
#[cfg(feature = "s3")]
fn hosted(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(feature = "gs")]
fn gs(bucket: &Bucket, access: &Access, meter: &Arc<Meter>) -> Result<Box<dyn Remote>, String> {
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket.name());
    let endpoint = access.endpoint.clone().or_else(|| builder.get_config_value(&GoogleConfigKey::BaseUrl));
    let allow_http = allows_http(access, endpoint.as_deref(), Scheme::Gs)?;
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    if let Some(key) = &access.service_account {
        builder = builder.with_service_account_key(key.look_up()?);
    }
    if access.anonymous {
        builder = builder.with_skip_signature(true);
    }
    let metered = Metered(Arc::clone(meter));
    built(builder.with_client_options(options(allow_http)).with_retry(retry()).with_http_connector(metered).build())
}

#[cfg(feature = "az")]
fn az(bucket: &Bucket, access: &Access, meter: &Arc<Meter>) -> Result<Box<dyn Remote>, String> {
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket.name());
    let endpoint = access.endpoint.clone().or_else(|| builder.get_config_value(&AzureConfigKey::Endpoint));
    let allow_http = allows_http(access, endpoint.as_deref(), Scheme::Az)?;
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(account) = &access.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &access.access_key {
        builder = builder.with_access_key(key.look_up_key()?);
    }
    if access.anonymous {
        builder = builder.with_skip_signature(true);
    }
    let metered = Metered(Arc::clone(meter));
    let builder = builder.with_allow_http(allow_http);
    built(builder.with_client_options(options(allow_http)).with_retry(retry()).with_http_connector(metered).build())
}
