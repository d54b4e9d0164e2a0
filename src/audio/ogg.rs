//! Writes Ogg pages, reads them, and finds the last one of a file. Pure: no I/O.
//!
//! Source: RFC 3533, <https://www.rfc-editor.org/rfc/rfc3533>. The crate `ogg` writes a stream only from its
//! first page on; a call that gets another stream continues in the middle of its file, so this module
//! assembles the pages, and `ogg` reads them in the tests.

/// The first bytes of every page.
const CAPTURE_PATTERN: [u8; 4] = *b"OggS";

/// Bytes of a page before its table of packet lengths.
const HEADER_BYTES: usize = 27;

/// Position of the checksum in a page.
const CHECKSUM_RANGE: std::ops::Range<usize> = 22..26;

/// Bytes that one entry of the table counts; a packet has as many entries as it fills, plus one with the
/// rest.
const SEGMENT_BYTES: usize = 255;

/// The longest page: a table of 255 entries, each of 255 bytes.
pub const PAGE_BYTES_MAX: usize = HEADER_BYTES + SEGMENT_BYTES + SEGMENT_BYTES * SEGMENT_BYTES;

/// The position of a page in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PagePosition {
    /// The first page of the stream.
    First,
    /// A page between the first and the last.
    #[default]
    Middle,
    /// The last page of the stream.
    Last,
}

/// A page of whole packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OggPage {
    /// Position in the stream.
    pub position: PagePosition,
    /// Position of the end of its last packet, in the codec's unit (48 kHz samples for Opus).
    pub granule: u64,
    /// Identifies the stream.
    pub serial: u32,
    /// Index of the page in its stream, from 0.
    pub sequence: u32,
    table: Vec<u8>,
    body: Vec<u8>,
}

impl OggPage {
    /// Creates an empty page.
    pub fn new(serial: u32, sequence: u32, position: PagePosition) -> Self {
        Self {
            position,
            serial,
            sequence,
            ..Self::default()
        }
    }

    /// Adds `packet` if it fits; `false` if it does not.
    pub fn push(&mut self, packet: &[u8]) -> bool {
        let entries = packet.len() / SEGMENT_BYTES + 1;
        if self.table.len() + entries > SEGMENT_BYTES {
            return false;
        }
        self.table.resize(self.table.len() + entries - 1, u8::MAX);
        self.table.push((packet.len() % SEGMENT_BYTES) as u8);
        self.body.extend_from_slice(packet);
        true
    }

    /// Returns the number of packets that end in the page.
    pub fn packets(&self) -> usize {
        self.table.iter().filter(|&&entry| entry < u8::MAX).count()
    }

    /// Appends the page in its file format.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let flags = match self.position {
            PagePosition::First => 2,
            PagePosition::Middle => 0,
            PagePosition::Last => 4,
        };
        out.extend_from_slice(&CAPTURE_PATTERN);
        out.extend_from_slice(&[0, flags]);
        out.extend_from_slice(&self.granule.to_le_bytes());
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(self.table.len() as u8);
        out.extend_from_slice(&self.table);
        out.extend_from_slice(&self.body);
        let sum = checksum(&out[start..]).to_le_bytes();
        out[start..][CHECKSUM_RANGE].copy_from_slice(&sum);
    }

    /// Parses the page at the start of `bytes`; returns it with its length in bytes. `None` if it is
    /// incomplete or its checksum is wrong.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let header = bytes.get(..HEADER_BYTES)?;
        if header[..4] != CAPTURE_PATTERN {
            return None;
        }
        let table_end = HEADER_BYTES + usize::from(header[26]);
        let table = bytes.get(HEADER_BYTES..table_end)?;
        let end = table_end + table.iter().map(|&entry| usize::from(entry)).sum::<usize>();
        let mut page = bytes.get(..end)?.to_vec();
        let claimed = u32::from_le_bytes(page[CHECKSUM_RANGE].try_into().ok()?);
        page[CHECKSUM_RANGE].fill(0);
        if checksum(&page) != claimed {
            return None;
        }
        let position = match header[5] & 6 {
            2 => PagePosition::First,
            4 => PagePosition::Last,
            _ => PagePosition::Middle,
        };
        let page = Self {
            position,
            granule: u64::from_le_bytes(header[6..14].try_into().ok()?),
            serial: u32::from_le_bytes(header[14..18].try_into().ok()?),
            sequence: u32::from_le_bytes(header[18..22].try_into().ok()?),
            table: table.to_vec(),
            body: page[table_end..].to_vec(),
        };
        Some((page, end))
    }

    /// Finds the last complete and valid page in the last `bytes` of a file; returns it with its range in
    /// `bytes`. Bytes after it belong to a page that was cut off.
    pub fn find_last(bytes: &[u8]) -> Option<(Self, std::ops::Range<usize>)> {
        let starts = bytes.windows(4).enumerate().rev();
        starts
            .filter(|(_, four)| **four == CAPTURE_PATTERN)
            .find_map(|(start, _)| {
                let (page, length) = Self::read(&bytes[start..])?;
                Some((page, start..start + length))
            })
    }
}

/// The remainder of every byte, for [`checksum`].
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut remainder = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder >> 31 == 1;
            remainder = (remainder << 1) ^ if carry { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// Returns the CRC-32 that Ogg uses: polynomial 04c11db7, initial value zero, bits not reversed.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| {
        (sum << 8) ^ CRC_TABLE[((sum >> 24) as u8 ^ byte) as usize]
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ogg::PacketReader;
    use proptest::prelude::*;

    use super::*;

    fn page(sequence: u32, packets: &[Vec<u8>]) -> OggPage {
        let mut page = OggPage::new(7, sequence, PagePosition::Middle);
        page.granule = 960 * u64::from(sequence);
        for packet in packets {
            assert!(page.push(packet));
        }
        page
    }

    fn bytes(pages: &[OggPage]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for page in pages {
            page.write(&mut bytes);
        }
        bytes
    }

    proptest! {
        #[test]
        fn another_reader_finds_the_packets(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..50),
        ) {
            let mut first = page(0, &[b"head".to_vec()]);
            first.position = PagePosition::First;
            let mut last = page(1, &packets);
            last.position = PagePosition::Last;
            let mut reader = PacketReader::new(Cursor::new(bytes(&[first, last])));
            prop_assert_eq!(reader.read_packet().unwrap().unwrap().data, b"head");
            for packet in &packets {
                let read = reader.read_packet().unwrap().unwrap();
                prop_assert_eq!(&read.data, packet);
                prop_assert_eq!((read.stream_serial(), read.absgp_page()), (7, 960));
            }
            prop_assert!(reader.read_packet().unwrap().is_none());
        }

        #[test]
        fn any_bytes_can_be_searched_for_a_page(
            bytes in prop::collection::vec(prop::sample::select(b"OggS\0\x02\xff".to_vec()), 0..400),
        ) {
            prop_assert!(OggPage::find_last(&bytes).is_none());
        }
    }

    #[test]
    fn the_last_page_is_found_wherever_a_file_is_cut() {
        let pages: Vec<OggPage> = (0..3)
            .map(|n| page(n, &[vec![n as u8; 300], b"OggS, no page".to_vec()]))
            .collect();
        let all = bytes(&pages);
        let length = bytes(&pages[..1]).len();
        for cut in 0..=all.len() {
            let found = OggPage::find_last(&all[..cut]).map(|(page, range)| (page.sequence, range));
            let whole = cut / length;
            let expected =
                (whole > 0).then(|| (whole as u32 - 1, (whole - 1) * length..whole * length));
            assert_eq!(found, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_page_with_a_flipped_bit_is_none() {
        let sound = bytes(&[page(3, &[b"packet".to_vec()])]);
        assert!(OggPage::read(&sound).is_some());
        for bit in 0..sound.len() * 8 {
            let mut broken = sound.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(OggPage::read(&broken).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_page_takes_no_more_than_its_table_holds() {
        let mut page = OggPage::new(1, 0, PagePosition::First);
        let taken = (0..1_000).take_while(|_| page.push(&[0; 254])).count();
        assert_eq!((taken, page.packets()), (255, 255));
        assert!(!page.push(&[]));
        let mut page = OggPage::new(1, 0, PagePosition::First);
        assert!(page.push(&vec![0; 254 * 255]) && !page.push(&[]));
        assert_eq!(page.packets(), 1);
        assert!(bytes(&[page]).len() < PAGE_BYTES_MAX);
    }
}
