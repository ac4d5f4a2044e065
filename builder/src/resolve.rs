// SPDX-License-Identifier: Apache-2.0
//! Base images: from a name to the manifest that the whole build then uses.
//!
//! A name is asked for once: the local store if it has the tag, else the registry. What was found
//! is kept for the source operation, so that a tag that moves during the build changes nothing.
//!
//! Also what time a source has: it is fetched then, and what was fetched is what the build uses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use graph::{
    ImageResolver, ResolveError, ResolveMode, ResolvedImage, SourceOp, SourceTimeError, SourceTimes,
};
use oci::layout::{ANNOTATION_INDEX_DIGEST, BlobError, Layout, OpenLayoutError};
use oci::{Digest, Image, ImageError, Platform, Reference};
use registry::client::{Client, PullError};
use tokio_util::sync::CancellationToken;

use crate::fetch::SourceRequest;
use crate::layouts::{self, Layouts};
use crate::open::Builder;
use crate::ops::http::without_credentials;
use crate::ops::image::{ImageSources, SourceImage};
use crate::pins::SourcePins;
use crate::progress::Sink;
use crate::report::StepReport;
use crate::request::BuildRequest;
use crate::secret::Secrets;

/// What a resolver may use of one build.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) layouts: Layouts,
    pub(crate) secrets: Secrets,
    pub(crate) pins: SourcePins,
    pub(crate) cancel: CancellationToken,
}

impl Access {
    /// Returns what resolving for `request` may use.
    pub(crate) fn of<I>(request: &BuildRequest<I>, cancel: &CancellationToken) -> Self {
        Self {
            layouts: Layouts::new(&request.layouts),
            secrets: request.secrets.clone(),
            pins: request.pins.clone(),
            cancel: cancel.clone(),
        }
    }
}

/// Answers what frontends ask back in one build.
#[derive(Debug)]
pub(crate) struct Resolver {
    builder: Builder,
    layout: Layout,
    client: Client,
    report: StepReport,
    sink: Arc<dyn Sink>,
    access: Access,
    known: Mutex<BTreeMap<(String, String), ResolvedImage>>,
    sources: Arc<Mutex<ImageSources>>,
}

impl Resolver {
    pub(crate) fn new(builder: &Builder, sink: Arc<dyn Sink>, access: Access) -> Self {
        Self {
            report: StepReport::continuing(Arc::clone(&sink), access.pins.steps()),
            sink,
            access,
            builder: builder.clone(),
            layout: builder.layout.clone(),
            client: builder.client.clone(),
            known: Mutex::default(),
            sources: Arc::default(),
        }
    }

    /// Returns everything that was resolved, for the source operations.
    pub(crate) fn into_sources(self) -> ImageSources {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *sources)
    }

    /// Keeps an image for the source operations.
    fn remember(
        &self,
        digest: &Digest,
        platform: &Platform,
        source: &SourceImage,
    ) -> ResolvedImage {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.insert(digest, platform, source);
        ResolvedImage {
            digest: digest.clone(),
            config: source.image.config().clone(),
        }
    }

    async fn find(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> Result<(Digest, Image), ResolveError> {
        let local = match mode {
            ResolveMode::Pull => None,
            ResolveMode::Default | ResolveMode::Local => {
                self.find_local(reference, platform).await?
            }
        };
        let fallback = match local {
            Some((found, true)) => return Ok(found),
            Some((found, false)) => Some(found),
            None => None,
        };
        if mode == ResolveMode::Local {
            return fallback.ok_or_else(|| ResolveError::NotFound {
                reference: reference.clone(),
                source: None,
            });
        }
        let name = format!("[internal] load metadata for {reference}");
        let step = self.report.begin(&name, oci::sha256(name.as_bytes()));
        let resolved = self.client.resolve(reference, platform).await;
        let resolved = resolved.map_err(|error| refused(reference, platform, error));
        self.report.end_with(step, &resolved);
        // Docs: BuildKit takes an image that stands alone whatever it is for; the frontend warns.
        match (resolved, fallback) {
            (Ok(resolved), _) => Ok((resolved.digest, resolved.image)),
            (Err(_), Some(fallback)) => Ok(fallback),
            (Err(error), None) => Err(error),
        }
    }

    /// A local image for another platform does not count if it is one of several: the registry has
    /// the others. One that stands alone is found, with false, for want of a better one.
    async fn find_local(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<((Digest, Image), bool)>, ResolveError> {
        let (layout, name, platform) = (self.layout.clone(), reference.clone(), platform.clone());
        let found = tokio::task::spawn_blocking(move || {
            let Some(descriptor) = layout
                .resolve(&name)
                .map_err(|error| Box::new(failed(&name, error)))?
            else {
                return Ok(None);
            };
            let index = descriptor.annotations.get(ANNOTATION_INDEX_DIGEST);
            let stands_alone = index.is_none() && descriptor.media_type.is_manifest();
            let digest = index
                .and_then(|text| text.parse().ok())
                .unwrap_or_else(|| descriptor.digest.clone());
            let Ok(image) = Image::read(&layout, &descriptor, &platform) else {
                return Ok(None);
            };
            let fits = platform.match_rank(&image.config().platform()).is_some();
            Ok((fits || stands_alone).then_some(((digest, image), fits)))
        });
        let found: Result<_, Box<ResolveError>> =
            found.await.expect("reading an image does not panic");
        found.map_err(|error| *error)
    }
}

impl ImageResolver for Resolver {
    async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        mode: ResolveMode,
    ) -> Result<ResolvedImage, ResolveError> {
        let key = (reference.to_string(), platform.to_string());
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let (digest, image) = self.find(reference, platform, mode).await?;
        let source = SourceImage {
            reference: reference.clone(),
            image,
            layout: None,
        };
        let resolved = self.remember(&digest, platform, &source);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, resolved.clone());
        Ok(resolved)
    }

    async fn resolve_layout(
        &self,
        store: &str,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<ResolvedImage, ResolveError> {
        let absent = || ResolveError::NotFound {
            reference: reference.clone(),
            source: None,
        };
        let digest = reference.digest().ok_or_else(absent)?.clone();
        let layouts = self.access.layouts.clone();
        let (store, wanted) = (store.to_owned(), digest.clone());
        let on = platform.clone();
        let read = tokio::task::spawn_blocking(move || {
            let layout = match layouts.open(&store)? {
                Ok(layout) => layout,
                Err(error) => return Some(Err(ReadLayoutError::Open(error))),
            };
            let image = layouts::read_image(&layout, &wanted, &on);
            Some(match image {
                Ok(image) => Ok((layout, image)),
                Err(error) => Err(ReadLayoutError::Image(error)),
            })
        });
        let read = read.await.expect("reading a layout does not panic");
        let (layout, image) = match read.ok_or_else(absent)? {
            Ok(found) => found,
            Err(ReadLayoutError::Open(error)) => return Err(failed(reference, error)),
            Err(ReadLayoutError::Image(error)) => {
                return Err(unusable(reference, platform, error));
            }
        };
        let source = SourceImage {
            reference: reference.clone(),
            image,
            layout: Some(layout),
        };
        Ok(self.remember(&digest, platform, &source))
    }
}

enum ReadLayoutError {
    Open(OpenLayoutError),
    Image(ImageError),
}

impl SourceTimes for Resolver {
    async fn time(&self, source: &SourceOp) -> Result<Option<i64>, SourceTimeError> {
        let identifier = without_credentials(&source.identifier);
        if !["http://", "https://", "git://"]
            .iter()
            .any(|scheme| source.identifier.starts_with(scheme))
        {
            return Ok(None);
        }
        let request = SourceRequest {
            source: source.clone(),
            name: format!("[internal] resolve SOURCE_DATE_EPOCH from {identifier}"),
            secrets: self.access.secrets.clone(),
            pins: self.access.pins.clone(),
        };
        let (sink, cancel) = (Arc::clone(&self.sink), self.access.cancel.clone());
        let fetched = self.builder.fetch_source(request, sink, cancel).await;
        let time = match fetched {
            Ok(fetched) => tokio::task::spawn_blocking(move || fetched.time())
                .await
                .expect("reading a file does not panic"),
            Err(error) => Err(error),
        };
        time.map_err(|error| SourceTimeError {
            identifier,
            source: Box::new(error),
        })
    }
}

fn failed(
    reference: &Reference,
    error: impl std::error::Error + Send + Sync + 'static,
) -> ResolveError {
    ResolveError::Failed {
        reference: reference.clone(),
        source: Box::new(error),
    }
}

fn refused(reference: &Reference, platform: &Platform, error: PullError) -> ResolveError {
    match error {
        PullError::NotFound(_, source) => ResolveError::NotFound {
            reference: reference.clone(),
            source: Some(source),
        },
        PullError::Image(_, source) => unusable(reference, platform, *source),
        other => failed(reference, other),
    }
}

fn unusable(reference: &Reference, platform: &Platform, error: ImageError) -> ResolveError {
    match error {
        ImageError::NoPlatform { offered, .. } => ResolveError::NoPlatform {
            reference: reference.clone(),
            platform: platform.clone(),
            available: offered.iter().map(ToString::to_string).collect(),
        },
        ImageError::Blob(BlobError::NotFound(_)) => ResolveError::NotFound {
            reference: reference.clone(),
            source: Some(Box::new(error)),
        },
        other => failed(reference, other),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::path::Path;

    use graph::contract;
    use oci::{Descriptor, MediaType};
    use registry::client::ClientConfig;

    use super::*;
    use crate::open::BuilderOptions;
    use crate::progress::Silent;

    /// Serves `/dated` and `/v2/`; anything else is not there.
    fn server() -> SocketAddr {
        fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
            let mut lines = BufReader::new(stream).lines();
            let request = lines.next().transpose()?.unwrap_or_default();
            for line in lines {
                if line?.is_empty() {
                    break;
                }
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            let status = if matches!(path, "/dated" | "/v2/") {
                "200 OK\r\nLast-Modified: Thu, 01 Jan 1970 00:01:00 GMT"
            } else {
                "404 Not Found"
            };
            let end = "Content-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(format!("HTTP/1.1 {status}\r\n{end}").as_bytes())
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream).ok();
            }
        });
        address
    }

    /// Adds an image without layers and returns its manifest.
    fn plant(layout: &Layout) -> Descriptor {
        let platform = Platform::host();
        let config = format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#,
            platform.architecture
        );
        let config = layout.put_bytes(MediaType::OciConfig, config.as_bytes());
        let config = serde_json::to_string(&config.unwrap()).unwrap();
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config},"layers":[]}}"#
        );
        let manifest = layout.put_bytes(MediaType::OciManifest, manifest.as_bytes());
        manifest.unwrap()
    }

    fn resolver(root: &Path) -> Resolver {
        let builder = Builder::open(BuilderOptions {
            root: root.join("root"),
            client: Client::new(ClientConfig::default()).unwrap(),
            runtime: None,
            git: crate::GitOptions::default(),
        });
        let access = Access {
            layouts: Layouts::new(&BTreeMap::from([("store".to_owned(), root.join("layout"))])),
            secrets: Secrets::default(),
            pins: SourcePins::default(),
            cancel: CancellationToken::new(),
        };
        Resolver::new(&builder.unwrap(), Arc::new(Silent), access)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_resolver_keeps_the_contracts() {
        let root = tempfile::tempdir().unwrap();
        let address = server();
        let resolver = resolver(root.path());
        let platform = Platform::host();
        let present: Reference = "present".parse().unwrap();
        let manifest = plant(&resolver.layout);
        resolver.layout.tag(&present, &manifest).unwrap();
        let absent = format!("{address}/absent").parse().unwrap();
        contract::image_resolver(&resolver, &present, &absent, &platform).await;

        let layout = Layout::create(root.path().join("layout")).unwrap();
        let pinned = present.pinned(plant(&layout).digest);
        contract::layout_images(&resolver, "store", &pinned, &platform).await;

        let source = |identifier: String| SourceOp {
            identifier,
            attrs: BTreeMap::new(),
        };
        let dated = source(format!("http://{address}/dated"));
        let timeless = source("local://context".to_owned());
        let gone = source(format!("http://{address}/gone"));
        contract::source_times(&resolver, (&dated, 60), &timeless, &gone).await;
    }
}
