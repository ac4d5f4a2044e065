// SPDX-License-Identifier: Apache-2.0
//! A stage while it is lowered: its tree, its config, its variables.

use std::collections::BTreeMap;

use graph::Edge;
use oci::{History, ImageConfig, Platform};

use crate::expand::Variables;
use crate::paths;
use crate::scope::Environment;

/// The PATH of a Linux image that sets none. `Observed:` BuildKit 73ed6825.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Marks history entries. `Observed:` BuildKit 73ed6825; tools look for it.
const HISTORY_COMMENT: &str = "buildkit.dockerfile.v0";

/// Whether a history entry stands for a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Made,
    Empty,
}

/// What a stage has come to so far.
#[derive(Clone, Debug)]
pub(super) struct StageState {
    /// The root file system; none is the empty tree.
    pub(super) tree: Option<Edge>,
    pub(super) image: ImageConfig,
    /// Build environment: ENV and ARG, last writer wins.
    pub(super) env: Environment,
    /// Where the names are in the config's list.
    pub(super) config_env: EnvPlaces,
    pub(super) platform: Platform,
    /// ARGs declared so far, in order, for the history.
    pub(super) build_args: Vec<(String, Option<String>)>,
    /// What numbers its steps.
    pub(super) counter: Counter,
    /// Whether CMD was set in this stage.
    pub(super) cmd_set: bool,
    pub(super) ignore_cache: bool,
}

/// Where names stand in a list of `NAME=value` that only grows.
#[derive(Clone, Debug, Default)]
pub(super) struct EnvPlaces {
    /// How much of the list was looked at.
    seen: usize,
    places: BTreeMap<String, usize>,
}

impl EnvPlaces {
    /// Returns the place of the first entry with this name.
    fn find(&mut self, entries: &[String], name: &str) -> Option<usize> {
        for entry in &entries[self.seen.min(entries.len())..] {
            let known = entry.split('=').next().unwrap_or_default().to_owned();
            self.places.entry(known).or_insert(self.seen);
            self.seen += 1;
        }
        self.places.get(name).copied()
    }
}

/// Numbers the steps of a stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    /// The platform, if the build is for several.
    pub(super) platform: Option<String>,
    /// The stage followed by a blank, or nothing.
    pub(super) stage: String,
    pub(super) step: usize,
    pub(super) total: usize,
    /// How many of the total the base asks for.
    pub(super) triggers: usize,
}

impl Counter {
    /// Returns the title of the base, whose triggers are not counted yet. `Observed:` BuildKit
    /// 73ed6825.
    pub(super) fn base_title(&mut self, text: &str) -> String {
        self.total -= self.triggers;
        let title = self.title(false, "", text);
        self.total += self.triggers;
        title
    }

    /// Returns the title of the next step, e.g. `[build 2/5] RUN make`. `cross` follows the platform.
    pub(super) fn title(&mut self, onbuild: bool, cross: &str, text: &str) -> String {
        if self.total == 0 {
            return text.to_owned();
        }
        self.step += 1;
        let width = self.total.to_string().len();
        let onbuild = if onbuild { "ONBUILD " } else { "" };
        let platform = self
            .platform
            .as_ref()
            .map_or_else(String::new, |platform| format!("{platform}{cross} "));
        format!(
            "[{platform}{}{:>width$}/{}] {onbuild}{text}",
            self.stage, self.step, self.total
        )
    }
}

impl StageState {
    /// Returns the config of an image made from nothing.
    pub(super) fn empty_image(platform: &Platform) -> ImageConfig {
        let mut image = ImageConfig {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
            ..ImageConfig::default()
        };
        "/".clone_into(&mut image.config.working_dir);
        image.config.env = vec![format!("PATH={DEFAULT_PATH}")];
        image
    }

    /// Makes ready to run instructions: PATH, variables and working directory of the config.
    pub(super) fn enter(&mut self) {
        let config = &mut self.image.config;
        let has_path = config
            .env
            .iter()
            .any(|entry| entry.split('=').next() == Some("PATH"));
        if !has_path && self.platform.os != "windows" {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for entry in &config.env {
            self.env.set_entry(entry);
        }
        if !config.working_dir.is_empty() {
            config.working_dir = paths::directory("/", &config.working_dir);
        }
    }

    /// Returns the directory that relative paths start from.
    pub(super) fn directory(&self) -> &str {
        match self.image.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }

    /// Returns `->` and the platform that the stage builds for, if its variables name another one
    /// than it runs on.
    pub(super) fn cross(&self) -> String {
        let get = |name: &str| self.env.get(name).map(str::to_owned);
        let named = get("TARGETPLATFORM").and_then(|text| text.parse::<Platform>().ok());
        let (os, architecture) = (get("TARGETOS"), get("TARGETARCH"));
        if named.is_none() && os.is_none() && architecture.is_none() {
            return String::new();
        }
        let built = named.unwrap_or_else(|| {
            let os = os
                .filter(|os| !os.is_empty())
                .unwrap_or_else(|| self.platform.os.clone());
            let architecture = architecture.filter(|text| !text.is_empty());
            let architecture = architecture.unwrap_or_else(|| self.platform.architecture.clone());
            Platform::new(&os, &architecture, get("TARGETVARIANT").as_deref())
        });
        let built = built.normalized();
        match (
            built.os == self.platform.os,
            built.architecture == self.platform.architecture,
        ) {
            (true, true) => String::new(),
            (true, false) => {
                let variant = built
                    .variant
                    .map_or_else(String::new, |variant| format!("/{variant}"));
                format!("->{}{variant}", built.architecture)
            }
            (false, _) => format!("->{built}"),
        }
    }

    /// Sets a variable of the image config; one that exists keeps its place.
    pub(super) fn set_config_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}={value}");
        let entries = &mut self.image.config.env;
        match self.config_env.find(entries, name) {
            Some(place) => entries[place] = entry,
            None => entries.push(entry),
        }
    }

    /// Adds a history entry.
    pub(super) fn commit(&mut self, text: impl Into<String>, layer: Layer) {
        self.image.history.push(History {
            created_by: Some(text.into()),
            comment: Some(HISTORY_COMMENT.to_owned()),
            empty_layer: layer == Layer::Empty,
            ..History::default()
        });
    }

    /// Returns the words of a shell form: the shell in force and the line.
    pub(super) fn with_shell(&self, line: String) -> Vec<String> {
        let shell = &self.image.config.shell;
        let mut words = match shell.is_empty() {
            false => shell.clone(),
            true if self.image.os == "windows" => {
                vec!["cmd".to_owned(), "/S".to_owned(), "/C".to_owned()]
            }
            true => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        };
        words.push(line);
        words
    }

    /// Returns the history text of a RUN: `|N A=b … words`, with the ARGs that were in force.
    pub(super) fn run_history(&self, words: &[String]) -> String {
        let mut args: Vec<String> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, value) in &self.build_args {
            let value = self.env.get(name).or(value.as_deref()).unwrap_or_default();
            let entry = format!("{name}={value}");
            let place = *places.entry(name).or_insert(args.len());
            match args.get_mut(place) {
                Some(slot) => *slot = entry,
                None => args.push(entry),
            }
        }
        let count = (!args.is_empty()).then(|| format!("|{}", args.len()));
        let entries = args.into_iter();
        let parts: Vec<String> = count
            .into_iter()
            .chain(entries)
            .chain(words.iter().cloned())
            .collect();
        format!("RUN {} # buildkit", parts.join(" "))
    }
}
