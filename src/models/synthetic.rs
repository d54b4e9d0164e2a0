//! A tiny Whisper model in `CTranslate2`'s format for tests: four layers of width 4, with a full-size
//! vocabulary. Every value identifies its tensor and its position.

use std::path::Path;

/// Width of encoder and decoder.
pub(super) const STATE: u32 = 4;

/// Number of layers of encoder and decoder; whisper.cpp takes four for "tiny".
pub(super) const LAYERS: u32 = 4;

/// Number of rows of the token embedding.
pub(super) const VOCABULARY: u32 = 51_864;

/// The types of stored values, by CTranslate2's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredType {
    F32 = 0,
    I8 = 1,
    F16 = 4,
    Bf16 = 5,
}

#[derive(Debug, Clone)]
pub(super) struct SyntheticTensor {
    pub(super) name: String,
    pub(super) dims: Vec<u32>,
    pub(super) kind: u8,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct SyntheticModel {
    pub(super) version: u32,
    pub(super) specification: String,
    pub(super) tensors: Vec<SyntheticTensor>,
    pub(super) aliases: Vec<(String, String)>,
}

/// Returns the value at `place` of the `index`th tensor; exact in 16 bits, of either kind.
pub(super) fn value(index: usize, place: usize) -> f32 {
    // Eight significant bits, so that bfloat16 holds it, too.
    ((index * 31 + place) % 255) as f32 / 64.0 - 1.0
}

impl SyntheticModel {
    /// Creates the whole model, with values of type `stored`.
    pub(super) fn new(stored: StoredType) -> Self {
        let mut shapes = shapes();
        shapes.sort();
        let filled = shapes.into_iter().enumerate().map(|(i, (name, dims))| {
            let count = dims.iter().product::<u32>() as usize;
            let bytes = (0..count)
                .flat_map(|place| encode(stored, value(i, place)))
                .collect();
            SyntheticTensor {
                name,
                dims,
                kind: stored as u8,
                bytes,
            }
        });
        let mut tensors: Vec<SyntheticTensor> = filled.collect();
        for side in ["decoder", "encoder"] {
            let name = format!("{side}/num_heads");
            tensors.push(SyntheticTensor {
                name,
                dims: vec![],
                kind: 2,
                bytes: vec![2, 0],
            });
        }
        let alias = (
            "decoder/projection/weight".to_owned(),
            "decoder/embeddings/weight".to_owned(),
        );
        Self {
            version: 6,
            specification: "WhisperSpec".into(),
            tensors,
            aliases: vec![alias],
        }
    }

    /// Finds a tensor by name; returns it with its index for [`value`].
    pub(super) fn tensor(&mut self, name: &str) -> (usize, &mut SyntheticTensor) {
        let (i, tensor) = self
            .tensors
            .iter_mut()
            .enumerate()
            .find(|(_, t)| t.name == name)
            .unwrap();
        (i, tensor)
    }

    /// Serialises `model.bin`.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.version.to_le_bytes().to_vec();
        text(&mut out, &self.specification);
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u32).to_le_bytes());
        for tensor in &self.tensors {
            text(&mut out, &tensor.name);
            out.push(tensor.dims.len() as u8);
            out.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            out.push(tensor.kind);
            out.extend((tensor.bytes.len() as u32).to_le_bytes());
            out.extend(&tensor.bytes);
        }
        out.extend((self.aliases.len() as u32).to_le_bytes());
        for (alias, name) in &self.aliases {
            text(&mut out, alias);
            text(&mut out, name);
        }
        out
    }

    /// Writes `model.bin` and `vocabulary.txt`.
    pub(super) fn write(&self, folder: &Path) {
        std::fs::write(folder.join("model.bin"), self.bytes()).unwrap();
        std::fs::write(folder.join("vocabulary.txt"), vocabulary()).unwrap();
    }
}

/// Returns a vocabulary of the right length: `t0`, `t1`, ….
pub(super) fn vocabulary() -> String {
    (0..VOCABULARY)
        .map(|i| format!("t{i}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Returns every tensor's name and dimensions.
fn shapes() -> Vec<(String, Vec<u32>)> {
    let d = STATE;
    let mut shapes: Vec<(String, Vec<u32>)> = vec![
        ("decoder/embeddings/weight".into(), vec![VOCABULARY, d]),
        ("decoder/position_encodings/encodings".into(), vec![8, d]),
        ("encoder/position_encodings/encodings".into(), vec![6, d]),
        ("encoder/conv1/weight".into(), vec![d, 80, 3]),
        ("encoder/conv1/bias".into(), vec![d]),
        ("encoder/conv2/weight".into(), vec![d, d, 3]),
        ("encoder/conv2/bias".into(), vec![d]),
    ];
    for side in ["decoder", "encoder"] {
        norm(&mut shapes, &format!("{side}/layer_norm"));
        for i in 0..LAYERS {
            let layer = format!("{side}/layer_{i}");
            linear(
                &mut shapes,
                &format!("{layer}/self_attention/linear_0"),
                3 * d,
                d,
            );
            linear(
                &mut shapes,
                &format!("{layer}/self_attention/linear_1"),
                d,
                d,
            );
            norm(&mut shapes, &format!("{layer}/self_attention/layer_norm"));
            if side == "decoder" {
                linear(&mut shapes, &format!("{layer}/attention/linear_0"), d, d);
                linear(
                    &mut shapes,
                    &format!("{layer}/attention/linear_1"),
                    2 * d,
                    d,
                );
                linear(&mut shapes, &format!("{layer}/attention/linear_2"), d, d);
                norm(&mut shapes, &format!("{layer}/attention/layer_norm"));
            }
            linear(&mut shapes, &format!("{layer}/ffn/linear_0"), 4 * d, d);
            linear(&mut shapes, &format!("{layer}/ffn/linear_1"), d, 4 * d);
            norm(&mut shapes, &format!("{layer}/ffn/layer_norm"));
        }
    }
    shapes
}

fn encode(stored: StoredType, value: f32) -> Vec<u8> {
    match stored {
        StoredType::F32 => value.to_le_bytes().to_vec(),
        StoredType::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        StoredType::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        StoredType::I8 => vec![(value * 32.0) as u8],
    }
}

fn linear(shapes: &mut Vec<(String, Vec<u32>)>, name: &str, rows: u32, columns: u32) {
    shapes.push((format!("{name}/weight"), vec![rows, columns]));
    shapes.push((format!("{name}/bias"), vec![rows]));
}

fn norm(shapes: &mut Vec<(String, Vec<u32>)>, name: &str) {
    shapes.push((format!("{name}/gamma"), vec![STATE]));
    shapes.push((format!("{name}/beta"), vec![STATE]));
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16 + 1).to_le_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}
