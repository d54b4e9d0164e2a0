//! Tests of `models/import.rs`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::models::folder::ChecksumMatch;
use crate::models::mel;
use crate::models::synthetic::{
    LAYERS, STATE, StoredType, SyntheticModel, VOCABULARY, value, vocabulary,
};

/// A parsed ggml file, by an independent parser.
struct GgmlContents {
    numbers: Vec<u32>,
    filters: Vec<f32>,
    tokens: Vec<Vec<u8>>,
    /// Dimensions, innermost first; type; values.
    tensors: BTreeMap<String, (Vec<u32>, u32, Vec<f32>)>,
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, tail) = bytes.split_at(count);
    *bytes = tail;
    head
}

fn number(bytes: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(bytes, 4).try_into().unwrap())
}

fn float(bytes: &mut &[u8], kind: u32) -> f32 {
    match kind {
        0 => f32::from_le_bytes(take(bytes, 4).try_into().unwrap()),
        1 => f16::from_le_bytes(take(bytes, 2).try_into().unwrap()).to_f32(),
        _ => panic!("type {kind}"),
    }
}

fn parse(mut bytes: &[u8]) -> GgmlContents {
    let b = &mut bytes;
    let numbers: Vec<u32> = (0..14).map(|_| number(b)).collect();
    let filters = (0..numbers[12] * numbers[13])
        .map(|_| float(b, 0))
        .collect();
    let tokens = (0..number(b)).map(|_| {
        let length = number(b) as usize;
        take(b, length).to_vec()
    });
    let tokens = tokens.collect();
    let mut tensors = BTreeMap::new();
    while !b.is_empty() {
        let (rank, length, kind) = (number(b), number(b) as usize, number(b));
        let dims: Vec<u32> = (0..rank).map(|_| number(b)).collect();
        let name = String::from_utf8(take(b, length).to_vec()).unwrap();
        let values = (0..dims.iter().product()).map(|_| float(b, kind)).collect();
        assert!(tensors.insert(name, (dims, kind, values)).is_none());
    }
    GgmlContents {
        numbers,
        filters,
        tokens,
        tensors,
    }
}

fn import_model(model: &SyntheticModel) -> Result<Vec<u8>, ModelFileError> {
    let folder = tempfile::tempdir().unwrap();
    model.write(folder.path());
    let output = folder.path().join("out/ggml-x.bin");
    let imported = import(folder.path(), &output, &ProgressReporter::silent());
    let left: Vec<_> = match std::fs::read_dir(folder.path().join("out")) {
        Ok(entries) => entries.map(|e| e.unwrap().file_name()).collect(),
        Err(_) => Vec::new(),
    };
    match imported {
        Ok(imported) => {
            assert_eq!(left.len(), 2, "the file and its note: {left:?}");
            assert!(matches!(
                folder::verify(&output).unwrap(),
                ChecksumMatch::RecordedOrigin { .. }
            ));
            let bytes = std::fs::read(&output).unwrap();
            assert_eq!(bytes.len() as u64, imported.bytes);
            Ok(bytes)
        }
        Err(error) => {
            assert!(left.is_empty(), "a failed import leaves {left:?}");
            Err(error)
        }
    }
}

fn refusal(change: impl FnOnce(&mut SyntheticModel)) -> String {
    let mut model = SyntheticModel::new(StoredType::F16);
    change(&mut model);
    import_model(&model).unwrap_err().to_string()
}

#[test]
fn the_parameters_filters_and_tokens_are_where_whisper_cpp_reads_them() {
    let ggml = parse(&import_model(&SyntheticModel::new(StoredType::F16)).unwrap());
    let (v, d, l) = (VOCABULARY, STATE, LAYERS);
    assert_eq!(
        ggml.numbers,
        [0x6767_6d6c, v, 6, d, 2, l, 8, d, 2, l, 80, 1, 80, 201]
    );
    assert_eq!(ggml.filters, mel::filterbank(80));
    assert_eq!(ggml.tokens.len(), 50_257);
    assert_eq!(ggml.tokens[50_256], b"t50256");
}

#[test]
fn fused_projections_come_apart_and_key_biases_stay_behind() {
    let mut model = SyntheticModel::new(StoredType::F16);
    let ggml = parse(&import_model(&model).unwrap());
    let d = STATE as usize;
    let mut check = |name: &str, source: &str, first: usize, count: usize| {
        let (i, _) = model.tensor(source);
        let expected: Vec<f32> = (first..first + count)
            .map(|place| value(i, place))
            .collect();
        assert_eq!(ggml.tensors[name].2, expected, "{name}");
    };
    let fused = "decoder/layer_3/self_attention/linear_0";
    for (nth, part) in ["query", "key", "value"].into_iter().enumerate() {
        let name = format!("decoder.blocks.3.attn.{part}.weight");
        check(&name, &format!("{fused}/weight"), nth * d * d, d * d);
    }
    check(
        "decoder.blocks.3.attn.query.bias",
        &format!("{fused}/bias"),
        0,
        d,
    );
    check(
        "decoder.blocks.3.attn.value.bias",
        &format!("{fused}/bias"),
        2 * d,
        d,
    );
    let fused = "decoder/layer_0/attention/linear_1";
    check(
        "decoder.blocks.0.cross_attn.key.weight",
        &format!("{fused}/weight"),
        0,
        d * d,
    );
    let weight = format!("{fused}/weight");
    check(
        "decoder.blocks.0.cross_attn.value.weight",
        &weight,
        d * d,
        d * d,
    );
    check(
        "decoder.blocks.0.cross_attn.value.bias",
        &format!("{fused}/bias"),
        d,
        d,
    );
    let source = "encoder/layer_1/ffn/layer_norm/beta";
    check("encoder.blocks.1.mlp_ln.bias", source, 0, d);
    check("decoder.ln.weight", "decoder/layer_norm/gamma", 0, d);
    assert!(!ggml.tensors.keys().any(|name| name.ends_with("key.bias")));
    // 2 positions, 1 embedding, 4 of convolutions, 4 of the last norms; 15 and 24 for each layer.
    assert_eq!(ggml.tensors.len(), 11 + 4 * (15 + 24));
}

#[test]
fn weights_are_16_bit_and_the_rest_is_32_bit_in_the_shapes_of_whisper_cpp() {
    let ggml = parse(&import_model(&SyntheticModel::new(StoredType::F16)).unwrap());
    let shape = |name: &str| (ggml.tensors[name].0.clone(), ggml.tensors[name].1);
    assert_eq!(shape("encoder.conv1.weight"), (vec![3, 80, STATE], 1));
    assert_eq!(shape("encoder.conv2.bias"), (vec![1, STATE], 0));
    assert_eq!(shape("encoder.positional_embedding"), (vec![STATE, 6], 0));
    assert_eq!(shape("decoder.positional_embedding"), (vec![STATE, 8], 0));
    assert_eq!(
        shape("decoder.token_embedding.weight"),
        (vec![STATE, VOCABULARY], 1)
    );
    assert_eq!(
        shape("encoder.blocks.0.mlp.0.weight"),
        (vec![STATE, 4 * STATE], 1)
    );
    assert_eq!(shape("encoder.blocks.0.mlp.0.bias"), (vec![4 * STATE], 0));
    assert_eq!(shape("encoder.ln_post.weight"), (vec![STATE], 0));
}

#[test]
fn every_kind_of_float_gives_the_same_file() {
    let reference = import_model(&SyntheticModel::new(StoredType::F16)).unwrap();
    assert_eq!(
        import_model(&SyntheticModel::new(StoredType::F32)).unwrap(),
        reference
    );
    assert_eq!(
        import_model(&SyntheticModel::new(StoredType::Bf16)).unwrap(),
        reference
    );
}

#[test]
fn whisper_cpp_accepts_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ggml-x.bin");
    std::fs::write(
        &path,
        import_model(&SyntheticModel::new(StoredType::F16)).unwrap(),
    )
    .unwrap();
    let parameters = whisper_rs::WhisperContextParameters::default();
    let context = whisper_rs::WhisperContext::new_with_params(&path, parameters).unwrap();
    assert_eq!(context.n_vocab(), VOCABULARY.cast_signed());
    assert_eq!(context.model_n_text_layer(), LAYERS.cast_signed());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let says = |text: &str, needle: &str| assert!(text.contains(needle), "{text}");
    let weight = "encoder/layer_2/ffn/linear_0/weight";
    says(&refusal(|m| m.tensors.retain(|t| t.name != weight)), weight);
    says(
        &refusal(|m| m.tensor(weight).1.dims = vec![4, 16]),
        "[4, 16] instead of [16, 4]",
    );
    let nan = |m: &mut SyntheticModel| m.tensor(weight).1.bytes[10..12].copy_from_slice(&[0, 0x7E]);
    says(&refusal(nan), "not a finite number at byte");
    says(&refusal(|m| m.version = 3), "version 3");
    says(
        &refusal(|m| m.specification = "BertSpec".to_owned()),
        "BertSpec",
    );
    says(
        &refusal(|m| m.aliases[0].1 = "nowhere".to_owned()),
        "nowhere",
    );
    says(
        &refusal(|m| m.tensor("decoder/num_heads").1.bytes = vec![3, 0]),
        "3 heads",
    );
    says(&refusal(|m| m.tensors[0].kind = 77), "unknown type 77");
    says(&refusal(|m| m.tensors[0].dims.push(u32::MAX)), "bytes");
    says(
        &refusal(|m| m.tensors[0].name = "x".repeat(2_000)),
        "a tensor's name is 2001 bytes",
    );
    says(
        &refusal(|m| m.tensors.push(m.tensors[0].clone())),
        "is duplicated",
    );
    let untied = |m: &mut SyntheticModel| {
        let mut copy = m.tensor("decoder/embeddings/weight").1.clone();
        copy.name = "decoder/projection/weight".to_owned();
        m.tensors.push(copy);
        m.aliases.clear();
    };
    says(&refusal(untied), "decoder/projection/weight");
    let rows = |m: &mut SyntheticModel| {
        let embedding = m.tensor("decoder/embeddings/weight").1;
        embedding.dims = vec![1_000, STATE];
        embedding.bytes.truncate(8_000);
    };
    says(&refusal(rows), "has 1000 rows");
}

#[test]
fn a_quantised_model_is_refused_in_words() {
    let error = import_model(&SyntheticModel::new(StoredType::I8))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("quantised") && error.contains("float16"),
        "{error}"
    );
}

#[test]
fn a_value_that_16_bits_cannot_hold_is_refused() {
    let mut model = SyntheticModel::new(StoredType::F32);
    let name = "decoder/layer_1/ffn/linear_1/weight";
    model.tensor(name).1.bytes[..4].copy_from_slice(&1e9_f32.to_le_bytes());
    let error = import_model(&model).unwrap_err().to_string();
    assert!(
        error.contains(name) && error.contains("1000000000"),
        "{error}"
    );
}

#[test]
fn an_import_that_fails_leaves_the_file_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("ggml-x.bin");
    std::fs::write(&output, "precious").unwrap();
    let mut model = SyntheticModel::new(StoredType::F16);
    model.tensors.truncate(20);
    model.aliases.clear();
    model.write(folder.path());
    assert!(import(folder.path(), &output, &ProgressReporter::silent()).is_err());
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
}

/// Parses `bytes` as a `model.bin`, plans the output, and reads every value.
fn read_all(bytes: &[u8]) -> Result<(), ModelFileError> {
    let mut weights = Ct2Weights::open(io::Cursor::new(bytes), Path::new("model.bin"))?;
    let (_, pieces) = plan_tensors(&mut weights)?;
    for piece in pieces {
        weights.for_each_chunk(&piece.source, piece.rows, |_| Ok(()))?;
    }
    Ok(())
}

/// The model with its embedding last, so that truncations and bit flips hit headers as often as values.
static SMALL_FIRST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut model = SyntheticModel::new(StoredType::F16);
    model.tensors.sort_by_key(|tensor| tensor.bytes.len());
    model.bytes()
});

#[test]
fn a_cut_anywhere_is_an_error() {
    let whole = &*SMALL_FIRST;
    read_all(whole).unwrap();
    for end in (0..12_000).chain((12_000..whole.len()).step_by(4_999)) {
        assert!(read_all(&whole[..end]).is_err(), "cut at {end}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(
        read_all(&longer)
            .unwrap_err()
            .to_string()
            .contains("surplus bytes")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn bytes_changed_anywhere_are_read_or_refused_but_never_panic(
        changes in prop::collection::vec((0_usize..24_000, any::<u8>()), 1..6),
    ) {
        let mut bytes = SMALL_FIRST.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Err(error) = read_all(&bytes) {
            prop_assert!(error.to_string().starts_with("model.bin at "), "{error}");
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(read_all(&noise).is_err());
    }
}

#[test]
fn a_folder_without_a_model_or_a_vocabulary_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.bin");
    let say = || {
        import(folder.path(), &output, &ProgressReporter::silent())
            .unwrap_err()
            .to_string()
    };
    assert!(say().contains("model.bin"));
    std::fs::write(
        folder.path().join("model.bin"),
        SyntheticModel::new(StoredType::F16).bytes(),
    )
    .unwrap();
    assert!(say().contains("vocabulary.txt"));
    std::fs::write(folder.path().join("vocabulary.txt"), vocabulary()).unwrap();
    import(folder.path(), &output, &ProgressReporter::silent()).unwrap();
}
