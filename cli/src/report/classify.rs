// SPDX-License-Identifier: Apache-2.0
//! Which exit code and which hints an error of a library has: the one place that decides.

use std::error::Error;
use std::io;

use builder::export::archive::{LoadError, ReadArchiveError, WriteArchiveError};
use builder::import::ImportError;
use builder::{OpenBuilderError, PruneCacheError};
use oci::layout::{BlobError, FindError, GcError, IndexError, OpenLayoutError};
use oci::{ImageError, ParseReferenceError};
use registry::client::{LoginError, PullError, PushError, TransportError, UnknownIssuer};
use registry::import::ImportRegistryError;
use registry::server::ServeError;
use registry::storage::StorageError;

use super::{Exit, Failure};

/// Makes `From` of an error that always has the same exit code.
macro_rules! always {
    ($($error:ty => $exit:expr),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::from_error($exit, &error).with_known_hints(&error)
            }
        })+
    };
}

always! {
    OpenLayoutError => Exit::Store,
    OpenBuilderError => Exit::Store,
    PruneCacheError => Exit::Store,
    IndexError => Exit::Store,
    BlobError => Exit::Store,
    GcError => Exit::Store,
    ImageError => Exit::Store,
    ParseReferenceError => Exit::Usage,
    TransportError => Exit::Network,
    ServeError => Exit::Store,
    registry_s3::OpenError => Exit::Store,
    StorageError => Exit::Store,
    ImportRegistryError => Exit::Store,
}

impl Failure {
    /// Adds hints for what is deep in the chain.
    pub(crate) fn with_known_hints(self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(UnknownIssuer { host, .. }) = cause.downcast_ref() {
                return self
                    .hint(format!(
                        "if it is yours, name its authority in the config file: \
                         [registries.\"{host}\"], ca = \"/path/to/ca.pem\""
                    ))
                    .hint("or add it to the certificates of this machine (or $SSL_CERT_FILE)");
            }
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                return match io.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        self.hint("the disk is full: make room with `kiln prune`")
                    }
                    io::ErrorKind::PermissionDenied => {
                        self.hint("choose a state directory of your own: --root DIR or KILN_ROOT")
                    }
                    _ => self,
                };
            }
            next = cause.source();
        }
        self
    }
}

impl From<FindError> for Failure {
    fn from(error: FindError) -> Self {
        let exit = match &error {
            FindError::NotFound(_) | FindError::Ambiguous { .. } => Exit::Failed,
            FindError::BadReference { .. } => Exit::Usage,
            _ => Exit::Store,
        };
        Self::from_error(exit, &error)
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        let exit = match &error {
            PullError::Store(..) | PullError::Tag(..) => Exit::Store,
            _ => Exit::Network,
        };
        let failure = Self::from_error(exit, &error).with_known_hints(&error);
        match &error {
            PullError::Denied(reference, _) => failure.hint(format!(
                "sign in first: `kiln login {}`",
                reference.repository().host()
            )),
            PullError::NotFound(reference, _) => {
                let host = reference.repository().host();
                failure.hint(format!("asked {host} and its mirrors; is the name right?"))
            }
            _ => failure,
        }
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        let exit = match &error {
            PushError::Image { .. } | PushError::Store(_) | PushError::Missing { .. } => {
                Exit::Store
            }
            _ => Exit::Network,
        };
        let failure = Self::from_error(exit, &error).with_known_hints(&error);
        match &error {
            PushError::Denied(repository, _) => {
                failure.hint(format!("sign in first: `kiln login {}`", repository.host()))
            }
            _ => failure,
        }
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        let exit = match &error {
            LoginError::Refused(..) | LoginError::Unchecked(..) => Exit::Network,
            _ => Exit::Failed,
        };
        Self::from_error(exit, &error).with_known_hints(&error)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        let exit = match &error {
            LoadError::Read(ReadArchiveError::Store {
                source: BlobError::Io { .. },
                ..
            })
            | LoadError::Store(_)
            | LoadError::Index(_) => Exit::Store,
            _ => Exit::Input,
        };
        Self::from_error(exit, &error).with_known_hints(&error)
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let exit = match &error {
            ImportError::Tar(_) => Exit::Input,
            _ => Exit::Store,
        };
        Self::from_error(exit, &error).with_known_hints(&error)
    }
}

impl From<WriteArchiveError> for Failure {
    fn from(error: WriteArchiveError) -> Self {
        let exit = match &error {
            WriteArchiveError::Write { .. } => Exit::Failed,
            _ => Exit::Store,
        };
        Self::from_error(exit, &error).with_known_hints(&error)
    }
}
