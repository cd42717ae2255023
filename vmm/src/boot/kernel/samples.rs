//! Small kernels for tests, made field by field.

/// The least header of a bzImage of 512 bytes of setup code, then `payload`.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    let paragraphs = u32::try_from(payload.len() / 16).unwrap();
    put(&mut image, 0x1f4, &paragraphs.to_le_bytes());
    put(&mut image, 0x1fe, &[0x55, 0xaa]);
    put(&mut image, 0x202, b"HdrS");
    put(&mut image, 0x206, &0x20f_u16.to_le_bytes());
    image[0x211] = 1;
    put(&mut image, 0x214, &0x10_0000_u32.to_le_bytes());
    put(&mut image, 0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(&mut image, 0x230, &0x20_0000_u32.to_le_bytes());
    image[0x234] = 1;
    put(&mut image, 0x236, &1_u16.to_le_bytes());
    put(&mut image, 0x238, &2047_u32.to_le_bytes());
    put(&mut image, 0x258, &0x20_0000_u64.to_le_bytes());
    put(&mut image, 0x260, &0x30_0000_u32.to_le_bytes());
    image.extend_from_slice(payload);
    image
}

/// One program header of an ELF file with the content of its segment.
pub struct Segment<'a> {
    pub kind: u32,
    pub address: u64,
    pub content: &'a [u8],
    pub memory_bytes: u64,
}

/// An ELF file of `segments`, their contents in order after the headers.
pub fn elf(entry: u64, segments: &[Segment<'_>]) -> Vec<u8> {
    let mut image = vec![0; 64];
    put(&mut image, 0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(&mut image, 16, &[2, 0, 62, 0, 1]);
    put(&mut image, 24, &entry.to_le_bytes());
    put(&mut image, 32, &64_u64.to_le_bytes());
    put(&mut image, 52, &[64, 0, 56, 0]);
    put(
        &mut image,
        56,
        &u16::try_from(segments.len()).unwrap().to_le_bytes(),
    );
    let mut offset = u64::try_from(64 + segments.len() * 56).unwrap();
    for segment in segments {
        let file_bytes = u64::try_from(segment.content.len()).unwrap();
        image.extend_from_slice(&segment.kind.to_le_bytes());
        image.extend_from_slice(&[5, 0, 0, 0]);
        let fields = [
            offset,
            segment.address,
            segment.address,
            file_bytes,
            segment.memory_bytes,
            4096,
        ];
        image.extend(fields.into_iter().flat_map(u64::to_le_bytes));
        offset += file_bytes;
    }
    for segment in segments {
        image.extend_from_slice(segment.content);
    }
    image
}

/// One note, name and description padded to 4 bytes.
pub fn note(name: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [name.len(), description.len()] {
        note.extend_from_slice(&u32::try_from(word).unwrap().to_le_bytes());
    }
    note.extend_from_slice(&kind.to_le_bytes());
    note.extend_from_slice(name);
    note.resize(note.len().next_multiple_of(4), 0);
    note.extend_from_slice(description);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

pub fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}
