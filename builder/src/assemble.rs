// SPDX-License-Identifier: Apache-2.0
//! Layers + config → image: the last joint before the store.
//!
//! Fills in what the frontend could not know: diff IDs, times, and a history whose non-empty
//! entries match the layers one by one.
//!
//! Spec: image-spec `config.md` §Properties (`history`, `rootfs`). Docs: BuildKit's
//! `exporter/containerimage/writer.go` for times and for surplus entries.

use jiff::Timestamp;
use oci::{Descriptor, DiffId, History, Image, ImageConfig, ImageError, Manifest};

/// A layer as it goes into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageLayer {
    /// The compressed layer.
    pub(crate) descriptor: Descriptor,
    /// The digest of its tar.
    pub(crate) diff_id: DiffId,
    /// When it was made, nanoseconds since 1970. Layers of the base are as old as they say in the
    /// history, which is kept.
    pub(crate) created_ns: i64,
}

/// Comment of history entries that stand for layers without an instruction.
const SURPLUS_COMMENT: &str = "kiln.exporter.image.v0";

/// Returns the image of `layers` (base first) under `config`.
///
/// `now_ns` is the time of an image that has neither layers nor a history with times; `epoch`
/// (seconds) bounds every time that this build makes. The same arguments give the same bytes.
///
/// # Errors
///
/// [`ImageError`] if config and layers do not fit together: a bug of the caller.
pub(crate) fn assemble(
    mut config: ImageConfig,
    layers: &[ImageLayer],
    now_ns: i64,
    epoch: Option<i64>,
) -> Result<Image, ImageError> {
    config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let last = date_history(&mut config.history, layers, epoch);
    config.created = last.or_else(|| {
        Some(rfc3339(
            layers.last().map_or(now_ns, |layer| layer.created_ns),
            epoch,
        ))
    });
    let config_bytes = config.to_bytes();
    let config_descriptor = Descriptor::new(
        oci::MediaType::OciConfig,
        oci::sha256(&config_bytes),
        config_bytes.len() as u64,
    );
    let descriptors = layers
        .iter()
        .map(|layer| layer.descriptor.clone())
        .collect();
    let manifest = Manifest::new(config_descriptor, descriptors);
    Image::new(manifest.to_bytes(), config_bytes)
}

/// Gives every entry a time and makes the non-empty ones as many as the layers. Returns the time
/// of the last entry.
fn date_history(
    history: &mut Vec<History>,
    layers: &[ImageLayer],
    epoch: Option<i64>,
) -> Option<String> {
    let mut next_layer = layers.iter();
    for entry in history.iter_mut().filter(|entry| !entry.empty_layer) {
        let layer = next_layer.next();
        // More entries than layers: what claims a layer that is not there made none.
        entry.empty_layer = layer.is_none();
        if entry.created.is_none() {
            entry.created = layer.map(|layer| rfc3339(layer.created_ns, epoch));
        }
    }
    if let Some(epoch) = epoch {
        let is_new = |entry: &&mut History| entry.created.is_none();
        for entry in history.iter_mut().filter(is_new) {
            entry.created = Some(rfc3339(i64::MAX, Some(epoch)));
        }
    }
    for layer in next_layer {
        history.push(History {
            created: Some(rfc3339(layer.created_ns, epoch)),
            comment: Some(SURPLUS_COMMENT.into()),
            ..History::default()
        });
    }
    date_empty_entries(history);
    history.last().and_then(|entry| entry.created.clone())
}

/// Gives instructions without a layer the time of the layer before them; those before the first
/// new layer are as old as it, not as old as the base.
///
/// Docs: BuildKit's `normalizeLayersAndHistory`.
fn date_empty_entries(history: &mut [History]) {
    let is_dated = |entry: &History| entry.created.is_some();
    let Some(first) = history.iter().position(|entry| !is_dated(entry)) else {
        return;
    };
    let new = history.iter().skip(first).find(|entry| is_dated(entry));
    let base = history.iter().take(first).next_back();
    let mut latest = new.or(base).and_then(|entry| entry.created.clone());
    for entry in history.iter_mut().skip(first) {
        match &entry.created {
            Some(created) => latest = Some(created.clone()),
            None => entry.created.clone_from(&latest),
        }
    }
}

fn rfc3339(time_ns: i64, epoch: Option<i64>) -> String {
    let bounded = match epoch.and_then(|seconds| seconds.checked_mul(1_000_000_000)) {
        Some(bound) => time_ns.min(bound),
        None => time_ns,
    };
    Timestamp::from_nanosecond(i128::from(bounded))
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn layer(name: &str, created_s: i64) -> ImageLayer {
        let digest = oci::sha256(name.as_bytes());
        ImageLayer {
            descriptor: Descriptor::new(oci::MediaType::OciLayerGzip, digest.clone(), 1),
            diff_id: DiffId(digest),
            created_ns: created_s * SECOND,
        }
    }

    fn entry(by: &str, created: Option<&str>, empty_layer: bool) -> History {
        History {
            created: created.map(Into::into),
            created_by: Some(by.into()),
            empty_layer,
            ..History::default()
        }
    }

    fn config(history: Vec<History>) -> ImageConfig {
        ImageConfig {
            os: "linux".into(),
            architecture: "amd64".into(),
            history,
            ..ImageConfig::default()
        }
    }

    #[test]
    fn times_come_from_layers_and_the_base_keeps_its_own() {
        let history = vec![
            entry("base", Some("2020-01-01T00:00:00Z"), false),
            entry("ENV", None, true),
            entry("RUN", None, false),
            entry("CMD", None, true),
        ];
        let layers = [layer("base", 5), layer("run", 60)];
        let image = assemble(config(history), &layers, 0, None).unwrap();
        let times: Vec<_> = image
            .config()
            .history
            .iter()
            .map(|entry| entry.created.as_deref().unwrap())
            .collect();
        assert_eq!(
            times,
            [
                "2020-01-01T00:00:00Z",
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:00Z",
                "1970-01-01T00:01:00Z"
            ]
        );
        assert_eq!(
            image.config().created.as_deref(),
            Some("1970-01-01T00:01:00Z")
        );
    }

    #[test]
    fn epoch_bounds_new_times_only() {
        let history = vec![
            entry("base", Some("2020-01-01T00:00:00Z"), false),
            entry("RUN", None, false),
        ];
        let layers = [layer("base", 5), layer("run", 60)];
        let image = assemble(config(history), &layers, 0, Some(7)).unwrap();
        let history = &image.config().history;
        assert_eq!(history[0].created.as_deref(), Some("2020-01-01T00:00:00Z"));
        assert_eq!(history[1].created.as_deref(), Some("1970-01-01T00:00:07Z"));
    }

    #[test]
    fn epoch_is_the_time_of_entries_without_a_layer() {
        let history = vec![
            entry("base", Some("1970-01-01T00:00:05Z"), false),
            entry("ENV", None, true),
        ];
        let image = assemble(config(history), &[layer("base", 5)], 0, Some(7)).unwrap();
        let config = image.config();
        assert_eq!(
            config.history[1].created.as_deref(),
            Some("1970-01-01T00:00:07Z")
        );
        assert_eq!(config.created.as_deref(), Some("1970-01-01T00:00:07Z"));
    }

    #[test]
    fn history_and_layers_always_agree_in_number() {
        for (rule, history, layer_count) in [
            ("surplus layers get an entry", vec![], 2),
            (
                "surplus entries become empty",
                vec![entry("a", None, false), entry("b", None, false)],
                1,
            ),
        ] {
            let layers: Vec<_> = (0..layer_count)
                .map(|at| layer(&at.to_string(), at))
                .collect();
            let image = assemble(config(history), &layers, 0, None).unwrap();
            let counted = image
                .config()
                .history
                .iter()
                .filter(|entry| !entry.empty_layer)
                .count();
            assert_eq!(counted, layers.len(), "{rule}");
        }
    }

    #[test]
    fn instructions_before_the_first_layer_share_its_time() {
        let history = vec![entry("ENV", None, true), entry("COPY", None, false)];
        let image = assemble(config(history), &[layer("copy", 9)], 0, None).unwrap();
        assert_eq!(
            image.config().history[0].created.as_deref(),
            Some("1970-01-01T00:00:09Z")
        );
    }
}
