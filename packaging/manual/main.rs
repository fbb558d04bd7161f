//! Writes what is made from the command line's definition: the page virt-forward(8), and the
//! completions of shells.
//!
//! The results are committed, so that packages need not run this; a test here fails where they
//! are not what this would write. The pages virt-forward.toml(5) and virt-forward-hook(8) are
//! written by hand, and checked against the parsers (`pages.rs`).

mod page;
#[cfg(test)]
mod pages;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap_complete::{
    generate,
    shells::{Bash, Fish, Zsh},
};

const NAME: &str = "virt-forward";

fn main() -> Result<()> {
    for (path, text) in everything() {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Every file that is made, and its text.
fn everything() -> Vec<(PathBuf, Vec<u8>)> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    let mut files = vec![(
        packaging.join("man/virt-forward.8"),
        page::page().into_bytes(),
    )];
    let mut completions = |name: &str, text: Vec<u8>| {
        files.push((packaging.join("completions").join(name), text));
    };
    completions("virt-forward.bash", completion(Bash));
    completions("_virt-forward", completion(Zsh));
    completions("virt-forward.fish", completion(Fish));
    files
}

fn completion(shell: impl clap_complete::Generator) -> Vec<u8> {
    let mut text = Vec::new();
    generate(
        shell,
        &mut virt_forward_cli::command_line(),
        NAME,
        &mut text,
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_the_command_line_says() {
        for (path, text) in everything() {
            let committed = fs::read(&path).unwrap_or_default();
            assert!(
                committed == text,
                "{} is not what the command line says now: cargo run -p virt-forward-manual",
                path.display()
            );
        }
    }
}
