// Between [N, C, places] and [N, C/4, places, 4], or [N, C/4, places] of words of four bytes; channels beyond C are 0.
override channels: u32 = 1;
override plane: u32 = 1;
override unsigned: bool = false; // the bytes

// The value of channel `c` at `place`, in bits.
fn plain(image: u32, c: u32, place: u32) -> i32 {
    if c >= channels { return 0; }
    return mem[at.x + (image * channels + c) * plane + place];
}

@compute @workgroup_size(64)
fn to_fours(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let fours = (channels + 3u) / 4u;
    let c = i / (4u * plane) % fours * 4u + i % 4u;
    mem[at.y + i] = plain(i / (4u * plane * fours), c, i / 4u % plane);
}

@compute @workgroup_size(64)
fn to_bytes(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let fours = (channels + 3u) / 4u;
    let c = i / plane % fours * 4u;
    let image = i / (plane * fours);
    let place = i % plane;
    let four = vec4<i32>(
        plain(image, c, place), plain(image, c + 1u, place), plain(image, c + 2u, place), plain(image, c + 3u, place),
    );
    mem[at.y + i] = bitcast<i32>(pack4xI8(four));
}

// Where channel `c` of an element of [N, C, places] lies in fours: the four and the channel within.
fn four(i: u32) -> vec2<u32> {
    let c = i / plane % channels;
    let image = i / (plane * channels);
    return vec2<u32>((image * ((channels + 3u) / 4u) + c / 4u) * plane + i % plane, c % 4u);
}

@compute @workgroup_size(64)
fn from_fours(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let f = four(i);
    mem[at.y + i] = mem[at.x + f.x * 4u + f.y];
}

@compute @workgroup_size(64)
fn from_bytes(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>) {
    let i = id.x + id.y * n.x * 64u;
    if i >= total { return; }
    let f = four(i);
    let word = mem[at.x + f.x];
    if unsigned {
        mem[at.y + i] = bitcast<i32>(extractBits(bitcast<u32>(word), 8u * f.y, 8u));
    } else {
        mem[at.y + i] = extractBits(word, 8u * f.y, 8u);
    }
}
