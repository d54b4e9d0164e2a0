//! Embeds the built client (`client/dist`) in the binary: each file uncompressed, as brotli and as gzip, in a
//! table that `src/api/static_files.rs` includes. Without a built client the table is empty. First it checks
//! the compilers for a GPU build.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Output folder of `npm run build`.
const DIST: &str = "client/dist";

/// A type of file.
struct Kind {
    extension: &'static str,
    content_type: &'static str,
    /// Whether to compress the file.
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

/// The compilers for GPU builds: Cargo's name of the feature, the program, and its package.
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

/// Checks the compilers for a GPU build, before `CMake` fails with a thousand lines of output.
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
                 build without the feature, for the CPU only",
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
    // Cargo runs this script at every build while a watched path is missing. If the folder cannot be created,
    // every build runs it.
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

/// Returns the files of the page in alphabetical order, without hidden files such as Vite's own manifest.
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

/// Returns the table row of a file, and writes its compressed forms to `out`.
fn row(dist: &Path, path: &Path, out: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let name = path
        .strip_prefix(dist)?
        .to_string_lossy()
        .replace('\\', "/");
    let extension = path.extension().unwrap_or_default();
    let kind = KINDS.iter().find(|kind| extension == kind.extension);
    let kind = kind.ok_or_else(|| format!("{} does not know the file type of {name}", file!()))?;
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

/// Writes one form of a file; returns the expression for its bytes.
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
