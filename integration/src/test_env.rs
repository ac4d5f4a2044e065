// SPDX-License-Identifier: Apache-2.0
//! One test's world: a directory with kiln's state, a home, a configuration and contexts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{KilnRegistry, Program, busybox, setting};

/// The time of everything that kiln makes in tests: 2001-09-09T01:46:40Z, chosen to be seen.
const CLOCK: &str = "1000000000";

/// A world that nothing else touches; gone when dropped.
#[derive(Debug)]
pub struct TestEnv {
    directory: TempDir,
    kiln: PathBuf,
    vars: Vec<(OsString, OsString)>,
}

impl TestEnv {
    /// Returns a world with an empty store.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("kiln-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        let path = |name: &str| directory.path().join(name).into_os_string();
        let mut vars: Vec<(OsString, OsString)> = vec![
            ("HOME".into(), path("home")),
            ("DOCKER_CONFIG".into(), path("home/.docker")),
            ("KILN_ROOT".into(), path("root")),
            ("KILN_CONFIG".into(), path("config.toml")),
            ("NO_COLOR".into(), "1".into()),
            ("PATH".into(), setting::search_path()),
            ("SOURCE_DATE_EPOCH".into(), CLOCK.into()),
        ];
        for (name, value) in setting::network_vars() {
            vars.push((name.into(), value));
        }
        fs::create_dir(directory.path().join("home")).expect("the directory is new");
        fs::write(directory.path().join("config.toml"), "").expect("the directory is new");
        Self {
            kiln: setting::kiln_binary(),
            directory,
            vars,
        }
    }

    /// Returns a world whose store has the image `busybox`.
    pub fn with_busybox() -> Self {
        let env = Self::new();
        env.import_busybox("busybox");
        env
    }

    /// Makes an image of busybox under `name`.
    pub fn import_busybox(&self, name: &str) {
        let rootfs = busybox::busybox_rootfs().expect("Debian's busybox-static is installed");
        // From standard input: the image's history says where an archive came from.
        let import = self.kiln(["import", "-", name]).stdin(rootfs);
        drop(import.ok());
    }

    /// Returns a second world with the same configuration and clock, and a store of its own.
    #[must_use]
    pub fn sibling(&self) -> Self {
        let sibling = Self::new();
        fs::copy(self.path("config.toml"), sibling.path("config.toml")).expect("both exist");
        sibling
    }

    /// Returns a path below the world's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the state directory.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// Returns the variables that kiln gets.
    pub fn vars(&self) -> &[(OsString, OsString)] {
        &self.vars
    }

    /// Sets a variable that kiln gets.
    pub fn set_var(&mut self, name: &str, value: impl Into<OsString>) {
        self.unset_var(name);
        self.vars.push((name.into(), value.into()));
    }

    /// Removes a variable that kiln would get.
    pub fn unset_var(&mut self, name: &str) {
        self.vars.retain(|(other, _)| other != name);
    }

    /// Returns a call of kiln with `args`, in the world's directory.
    pub fn kiln<I: IntoIterator<Item = impl AsRef<std::ffi::OsStr>>>(&self, args: I) -> Program {
        Program::new(&self.kiln)
            .envs(&self.vars)
            .current_dir(self.directory.path())
            .args(args)
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("parents can be made");
        }
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes a build context of a Dockerfile and files, and returns its directory.
    pub fn context(&self, name: &str, dockerfile: &str, files: &[(&str, &str)]) -> PathBuf {
        self.write(&format!("{name}/Dockerfile"), dockerfile);
        for (file, content) in files {
            self.write(&format!("{name}/{file}"), content);
        }
        self.path(name)
    }

    /// Builds `context` under `tag`, with plain progress.
    pub fn build(&self, tag: &str, context: &Path) -> Program {
        self.kiln(["build", "--progress", "plain", "-t", tag])
            .arg(context)
    }

    /// Starts `kiln registry serve` on a free port, on a storage of its own.
    pub fn registry(&self) -> KilnRegistry {
        self.registry_on("registry")
    }

    /// Starts `kiln registry serve` on a free port with more flags, on the storage directory
    /// `registry`.
    pub fn registry_with(&self, flags: &[&str]) -> KilnRegistry {
        let serve = self.kiln(["registry", "serve"]).args(flags);
        KilnRegistry::start(serve, &self.path("registry"))
    }

    /// Starts `kiln registry serve` on a free port, on the storage directory `name`.
    pub fn registry_on(&self, name: &str) -> KilnRegistry {
        KilnRegistry::start(self.kiln(["registry", "serve"]), &self.path(name))
    }
}

impl Drop for TestEnv {
    /// Unmounts what peers leave mounted below the directory, so that it can be removed.
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        // The mount point is the fifth field; later mounts lie on top of earlier ones.
        let points = mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(4));
        for point in points.filter(|point| Path::new(point).starts_with(self.directory.path())) {
            drop(Program::new("/bin/umount").args(["-l", point]).run());
        }
    }
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::new()
    }
}
