// SPDX-License-Identifier: Apache-2.0
//! `kiln pull`.

use oci::layout::Layout;
use oci::{Digest, Platform, Reference};
use registry::client::{Client, Platforms, PullOptions};

use super::image_list::repository_name;
use crate::args::images::PullArgs;
use crate::environment::Environment;
use crate::progress::transfer::{self, Screen};
use crate::report::{self, Exit, Failure};
use crate::session::{self, Session};

/// Downloads an image, or all of a repository.
pub(crate) fn run(args: &PullArgs, session: &Session) -> Result<(), Failure> {
    let reference: Reference = args.image.parse()?;
    let layout = session.layout()?;
    let client = session.client()?;
    let options = PullOptions {
        platforms: Platforms::One(platform(args.platform.as_ref(), &session.environment)?),
        progress: transfer::progress(transfer::PULL, Screen::of(args.quiet)),
    };
    session::block_on_droppable(async {
        let mut wanted = vec![reference.clone()];
        if args.all_tags {
            let tags = client.tags(reference.repository()).await;
            let tags = tags.map_err(|error| Failure::from_error(Exit::Network, &error))?;
            let named = tags.iter().filter_map(|tag| tag.parse().ok());
            wanted = named
                .map(|tag| Reference::with_tag(reference.repository().clone(), tag))
                .collect();
        }
        for reference in &wanted {
            one(&client, reference, &layout, &options, args.quiet).await?;
        }
        Ok(())
    })
}

async fn one(
    client: &Client,
    reference: &Reference,
    layout: &Layout,
    options: &PullOptions,
    quiet: bool,
) -> Result<(), Failure> {
    let before: Option<Digest> = layout
        .resolve(reference)?
        .map(|descriptor| descriptor.digest);
    if !quiet {
        let what = reference
            .tag()
            .map_or_else(|| reference.manifest_reference(), ToString::to_string);
        report::print(&format!(
            "{what}: Pulling from {}\n",
            reference.repository().path()
        ))?;
    }
    let pulled = client.pull(reference, layout, options).await?;
    if !quiet {
        let is_same = before.as_ref() == Some(&pulled.descriptor.digest);
        let status = if is_same {
            "Image is up to date"
        } else {
            "Downloaded newer image"
        };
        report::print(&format!(
            "Digest: {}\nStatus: {status} for {}\n",
            pulled.digest,
            shown(reference)
        ))?;
    }
    report::print(&format!("{reference}\n"))
}

fn shown(reference: &Reference) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}", repository_name(reference)),
        None => reference.familiar(),
    }
}

/// Returns the platform: the flag, else the first of `DOCKER_DEFAULT_PLATFORM`, else this machine's.
pub(super) fn platform(
    flag: Option<&Platform>,
    environment: &Environment,
) -> Result<Platform, Failure> {
    if let Some(platform) = flag {
        return Ok(platform.clone());
    }
    let mut defaults = default_platforms(environment)?.into_iter();
    Ok(defaults.next().unwrap_or_else(Platform::host))
}

/// Returns the platforms of `DOCKER_DEFAULT_PLATFORM`; none if it is not set.
pub(super) fn default_platforms(environment: &Environment) -> Result<Vec<Platform>, Failure> {
    let Some(text) = environment.text("DOCKER_DEFAULT_PLATFORM") else {
        return Ok(Vec::new());
    };
    let platforms = text.split(',').map(str::parse).collect::<Result<_, _>>();
    platforms.map_err(|error| Failure::usage(format!("DOCKER_DEFAULT_PLATFORM: {error}")))
}
