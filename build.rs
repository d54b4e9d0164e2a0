//! Puts the built client (`client/dist`) into the binary: each file as it is, as brotli and as gzip,
//! in a table that `src/api/static_files.rs` includes. Without a built client the table is empty. Before, it
//! looks whether a build for graphics cards has what it needs.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Where `npm run build` puts the page.
const DIST: &str = "client/dist";

/// A kind of files.
struct Kind {
    extension: &'static str,
    content_type: &'static str,
    /// Whether it is worth compressing.
    is_text: bool,
}

const fn text(extension: &'static str, content_type: &'static str) -> Kind {
    Kind {
        extension,
        content_type,
        is_text: true,
    }
}

const fn packed(extension: &'static str, content_type: &'static str) -> Kind {
    Kind {
        extension,
        content_type,
        is_text: false,
    }
}

const KINDS: [Kind; 13] = [
    text("html", "text/html; charset=utf-8"),
    text("js", "text/javascript; charset=utf-8"),
    text("css", "text/css; charset=utf-8"),
    text("json", "application/json"),
    text("webmanifest", "application/manifest+json"),
    text("svg", "image/svg+xml"),
    text("txt", "text/plain; charset=utf-8"),
    text("wasm", "application/wasm"),
    packed("woff2", "font/woff2"),
    packed("png", "image/png"),
    packed("webp", "image/webp"),
    packed("ico", "image/x-icon"),
    packed("mp3", "audio/mpeg"),
];

/// What a build for graphics cards needs: Cargo's name of the feature, a program, and where it is from.
const COMPILERS: [(&str, &str, &str); 2] = [
    (
        "CUDA",
        "nvcc",
        "the CUDA toolkit (Debian: nvidia-cuda-toolkit)",
    ),
    (
        "VULKAN",
        "glslc",
        "the Vulkan SDK (Debian: glslc libvulkan-dev)",
    ),
];

/// Says what a build for graphics cards lacks, before `CMake` fails over it in a thousand lines.
fn check_compilers() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for (feature, program, package) in COMPILERS {
        let is_wanted = std::env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
        if is_wanted {
            println!("cargo:rerun-if-env-changed=PATH");
        }
        let is_there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
        if is_wanted && !is_there {
            return Err(format!(
                "the feature `{}` needs the program `{program}` on the PATH: install {package}, or \
                 build without the feature, for the processor alone",
                feature.to_lowercase()
            ));
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    check_compilers()?;
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let dist = root.join(DIST);
    // Cargo runs this at every build while a path that it watches is not there. Where nothing may
    // be written, that is the price.
    let _ = fs::create_dir_all(&dist);
    println!("cargo:rerun-if-changed={DIST}");
    println!("cargo:rerun-if-changed=build.rs");

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let folder = out.join("static_files");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut table = "&[\n".to_owned();
    for (n, path) in files(&dist)?.iter().enumerate() {
        table.push_str(&row(&dist, path, &folder.join(n.to_string()))?);
    }
    table.push(']');
    fs::write(out.join("static_files.rs"), table)?;
    Ok(())
}

/// The files of the page in the alphabet's order; what is hidden, such as Vite's own manifest, is
/// not of the page.
fn files(dist: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![dist.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The table's row for a file, whose forms are written to `out` with an ending of each.
fn row(dist: &Path, path: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let name = path
        .strip_prefix(dist)?
        .to_string_lossy()
        .replace('\\', "/");
    let extension = path.extension().unwrap_or_default();
    let kind = KINDS.iter().find(|kind| extension == kind.extension);
    let kind = kind.ok_or_else(|| format!("{name} is of no kind that {} knows", file!()))?;
    let tag: String = Sha256::digest(&bytes)[..12]
        .iter()
        .fold(String::new(), |mut tag, byte| {
            let _ = write!(tag, "{byte:02x}");
            tag
        });

    let plain = include(out, "plain", &bytes)?;
    let mut forms = [const { String::new() }; 2];
    for (form, (ending, packed)) in forms
        .iter_mut()
        .zip([("br", brotli(&bytes)?), ("gz", gzip(&bytes)?)])
    {
        *form = if kind.is_text && packed.len() < bytes.len() {
            format!("Some({})", include(out, ending, &packed)?)
        } else {
            "None".to_owned()
        };
    }
    let [brotli, gzip] = forms;
    Ok(format!(
        "    StaticFile {{ path: {name:?}, content_type: {:?}, content_hash: {tag:?}, identity: {plain}, \
         brotli: {brotli}, gzip: {gzip} }},\n",
        kind.content_type
    ))
}

/// Writes a form of a file; the expression that holds its bytes.
fn include(out: &Path, ending: &str, bytes: &[u8]) -> io::Result<String> {
    let path = out.with_extension(ending);
    fs::write(&path, bytes)?;
    Ok(format!("include_bytes!({:?})", path.display().to_string()))
}

fn brotli(mut bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut bytes, &mut packed, &BrotliEncoderParams::default())?;
    Ok(packed)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
