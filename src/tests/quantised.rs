//! Compares this crate's quantisation with ggml's.

use proptest::prelude::*;

use crate::engine::whisper::reference;
use crate::models::{BLOCK, Quantisation};

proptest! {
    #[test]
    fn every_block_is_what_ggml_makes_of_it(
        values in prop::collection::vec(prop_oneof![8 => -4_f32..4.0, 1 => Just(0.0), 1 => -1e-7_f32..1e-7], BLOCK),
    ) {
        let block: &[f32; BLOCK] = values.first_chunk().unwrap();
        for (kind, ggml_type) in Quantisation::ALL.into_iter().zip([2, 6, 8]) {
            let mut ours = Vec::new();
            kind.quantise_block(block, &mut ours);
            prop_assert_eq!(ours, reference::quantise(ggml_type, &values), "{}", kind.name());
        }
    }
}

#[test]
fn fewer_bits_are_less_exact_and_silence_stays_silence() {
    let values: Vec<f32> = (0..BLOCK).map(|n| (n as f32).sin()).collect();
    let block: &[f32; BLOCK] = values.first_chunk().unwrap();
    let errors = Quantisation::ALL.map(|kind| {
        let mut blocks = Vec::new();
        kind.quantise_block(block, &mut blocks);
        let back = reference::dequantise(kind.tensor_type(), &blocks, BLOCK);
        let errors = values
            .iter()
            .zip(&back)
            .map(|(value, back)| (value - back).abs());
        let mut silence = Vec::new();
        kind.quantise_block(&[0.0; BLOCK], &mut silence);
        assert_eq!(
            reference::dequantise(kind.tensor_type(), &silence, BLOCK),
            [0.0; BLOCK]
        );
        errors.fold(0.0, f32::max)
    });
    assert!(errors[0] > errors[1] && errors[1] > errors[2], "{errors:?}");
    assert!(errors[2] < 0.005, "{errors:?}");
}
