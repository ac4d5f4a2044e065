// SPDX-License-Identifier: Apache-2.0
//! Flags of docker buildx that kiln knows but does not do: accepted where doing nothing is right,
//! refused by name where it is not.
//!
//! `Ours:` a flag is never ignored if the user would get something else than asked for.

use clap::Args;

/// The flags. Each is looked at by [`UnsupportedArgs::problems`].
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct UnsupportedArgs {
    #[arg(long, hide = true)]
    annotation: Vec<String>,
    #[arg(long, hide = true)]
    attest: Vec<String>,
    #[arg(long, hide = true)]
    provenance: Option<String>,
    #[arg(long, hide = true)]
    sbom: Option<String>,
    #[arg(long, hide = true)]
    builder: Option<String>,
    #[arg(long, hide = true)]
    cache_from: Vec<String>,
    #[arg(long, hide = true)]
    cache_to: Vec<String>,
    #[arg(long, hide = true)]
    policy: Vec<String>,
    #[arg(long, hide = true)]
    resource: Vec<String>,
    #[arg(long, hide = true)]
    squash: bool,
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true)]
    memory_swap: Option<String>,
    #[arg(short, long, hide = true)]
    cpu_shares: Option<String>,
    #[arg(long, hide = true)]
    cpu_period: Option<String>,
    #[arg(long, hide = true)]
    cpu_quota: Option<String>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
    /// Steps never leave containers behind.
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    rm: Option<String>,
    #[arg(long, hide = true)]
    force_rm: bool,
    /// The context is read in place.
    #[arg(long, hide = true)]
    compress: bool,
}

/// A value that asks for nothing.
fn is_off(value: &str) -> bool {
    matches!(
        value.to_lowercase().as_str(),
        "" | "false" | "0" | "disabled=true"
    )
}

/// `--attest type=sbom,disabled=true` asks for nothing either.
fn is_off_attestation(value: &str) -> bool {
    value.split(',').any(|field| field == "disabled=true")
}

impl UnsupportedArgs {
    /// Returns a line for every flag that asks for something kiln cannot do, in alphabetic order.
    pub(crate) fn problems(&self) -> Vec<String> {
        let default = |text: &Option<String>, fine: &[&str]| {
            text.as_deref().is_some_and(|text| !fine.contains(&text))
        };
        let asked: [(&str, bool); 16] = [
            ("--annotation", !self.annotation.is_empty()),
            (
                "--attest",
                !self.attest.iter().all(|text| is_off_attestation(text)),
            ),
            ("--builder", default(&self.builder, &["default", ""])),
            ("--cache-from", !self.cache_from.is_empty()),
            ("--cache-to", !self.cache_to.is_empty()),
            ("--cpu-*", self.limits_cpu()),
            ("--isolation", default(&self.isolation, &["default", ""])),
            ("--memory", default(&self.memory, &["0"])),
            ("--memory-swap", default(&self.memory_swap, &["0"])),
            ("--policy", !self.policy.is_empty()),
            (
                "--provenance",
                self.provenance.as_deref().is_some_and(|text| !is_off(text)),
            ),
            ("--resource", !self.resource.is_empty()),
            (
                "--sbom",
                self.sbom.as_deref().is_some_and(|text| !is_off(text)),
            ),
            ("--security-opt", !self.security_opt.is_empty()),
            ("--squash", self.squash),
            (
                "--rm=false",
                self.rm.as_deref().is_some_and(|text| text == "false"),
            ),
        ];
        let asked = asked.into_iter().filter(|(_, asked)| *asked);
        asked
            .map(|(flag, _)| format!("{flag} is not supported yet"))
            .collect()
    }

    fn limits_cpu(&self) -> bool {
        let values = [
            &self.cpu_shares,
            &self.cpu_period,
            &self.cpu_quota,
            &self.cpuset_cpus,
            &self.cpuset_mems,
        ];
        values
            .iter()
            .any(|value| value.as_deref().is_some_and(|text| text != "0"))
    }

    /// Returns what the user should know about flags that are accepted and do nothing.
    pub(crate) fn remarks(&self) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        if self.compress {
            remarks.push("--compress does nothing: the context is read in place");
        }
        if self.force_rm {
            remarks.push("--force-rm does nothing: steps leave no containers behind");
        }
        remarks
    }
}
