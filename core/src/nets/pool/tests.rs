use super::*;
use std::collections::HashSet;

const INPUT: Input = Input { channels: 3, height: 32, width: 32 };

fn square(side: usize) -> Input {
    Input { channels: 3, height: side, width: side }
}

fn cost(spec: &ArchSpec) -> Cost {
    Cost::of(&Graph::lower(spec).unwrap())
}

#[test]
fn ids_parse_back_and_samples_cover_the_pool() {
    for pool in all() {
        // Of c choices a block and stages of 1 to n blocks: c + c^2 + ... + c^n each.
        let wanted = match pool.name.as_str() {
            "mbv2-cifar" | "mbv2-mini" | "res-cifar" | "res-mini" => 592_704, // 84^3
            "res-tiny" => 2_744,                                              // 14^3
            "mbv2-photo" | "mbv2-photo-lite" => 16_964_744_964_839_794_687_500_000, // 111,150^5
            "res-photo" => 13_363_360_000,                                    // 340^4
            other => panic!("{other} has no count"),
        };
        assert_eq!(pool.count(), wanted, "{}", pool.name);
        let mut seen = HashSet::new();
        for i in 0..200 {
            let path = pool.sample(7, i);
            let id = pool.id(&path);
            assert_eq!(pool.parse(&id).unwrap(), path);
            assert_eq!(pool.arch(&path, INPUT, 10).unwrap().name, id);
            seen.insert(id);
        }
        let fewest = if pool.count() > 100_000 { 190 } else { 180 };
        assert!(seen.len() > fewest, "{}: {} distinct", pool.name, seen.len());
    }
}

/// What was drawn before squeeze-and-excitation could be chosen.
#[test]
fn samples_stay() {
    let cases = [
        ("mbv2-cifar:d333-k333353335-e363663363", 7, 0),
        ("mbv2-cifar:d211-k3535-e6663", 7, 1),
        ("mbv2-mini:d222-k533333-e633636", 31, 5),
        ("mbv2-mini:d312-k333533-e633666", 0, 1_000_000),
        ("res-cifar:d333-k333353335-e121221121", 7, 0),
        ("res-mini:d312-k333533-e211222", 0, 1_000_000),
        ("res-tiny:d211-k3333-e2221", 7, 1),
        ("res-tiny:d222-k333333-e211212", 31, 5),
    ];
    for (id, seed, index) in cases {
        let pool = named(id.split(':').next().unwrap()).unwrap();
        assert_eq!(pool.id(&pool.sample(seed, index)), id);
    }
    let names: Vec<String> = named("mbv2-mini").unwrap().choices().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["k3e3", "k3e6", "k5e3", "k5e6"], "tensors of supernets are named so");
    let ids = |pool: Pool| pool.coverage().iter().map(|p| pool.id(p)).collect::<Vec<_>>();
    assert_eq!(
        ids(named("res-tiny").unwrap()),
        ["res-tiny:d333-k333333333-e111111111", "res-tiny:d333-k333333333-e222222222"]
    );
}

#[test]
fn spaces_count_and_list_their_students() {
    for pool in all() {
        assert_eq!(Space::whole(pool.clone()).count(), pool.count());
        let path = pool.sample(1, 1);
        let one = Space::single(pool.clone(), &path);
        assert_eq!((one.count(), one.paths()), (1, vec![path]));
    }
    let mut small = Space::whole(named("res-mini").unwrap());
    for stage in &mut small.stages {
        stage.depths = vec![1, 2];
        stage.choices.iter_mut().for_each(|c| c.truncate(1));
    }
    let paths = small.paths();
    assert_eq!((small.count(), paths.len()), (8, 8));
    assert_eq!(paths.iter().collect::<HashSet<_>>().len(), 8);
}

#[test]
fn the_id_says_what_is_built() {
    let spec = student("mbv2-cifar:d212-k35333-e63366", INPUT, 100).unwrap();
    let depths: Vec<usize> = spec.stages.iter().map(|s| s.blocks.len()).collect();
    assert_eq!(depths, [2, 1, 2]);
    let blocks: Vec<(usize, usize)> =
        spec.stages.iter().flat_map(|s| &s.blocks).map(|b| (b.kernel, b.hidden)).collect();
    assert_eq!(blocks, [(3, 96), (5, 72), (3, 72), (3, 288), (3, 576)]);
    let Cost { macs, params, .. } = cost(&spec);
    assert!(macs > 1_000_000 && params > 10_000, "{macs} {params}");
    let spec = student("mbv2-photo:d21111-k357357-e346346-s011001", square(96), 10).unwrap();
    let blocks: Vec<_> = spec
        .stages
        .iter()
        .flat_map(|s| &s.blocks)
        .map(|b| (b.kernel, b.hidden, b.width, b.stride, b.se))
        .collect();
    let wanted = [
        (3, 48, 24, 2, None),
        (5, 96, 24, 1, Some(24)),
        (7, 144, 32, 2, Some(40)), // a quarter is 36
        (3, 96, 48, 2, None),
        (5, 192, 72, 1, None),
        (7, 432, 112, 2, Some(112)), // 108
    ];
    assert_eq!(blocks, wanted);
}

#[test]
fn wrong_ids_name_the_wrong_part() {
    let cases = [
        ("mbv2-cifar", "wanted POOL:"),
        ("nosuch:d1-k3-e3", "unknown pool `nosuch`"),
        ("mbv2-cifar:d212-k35333", "has 2 parts"),
        ("mbv2-cifar:d412-k3533333-e6336666", "depth of stage 0 is 4, wanted 1 to 3"),
        ("mbv2-cifar:d212-k3533-e63366", "`k3533` wanted `k` and 5 digits"),
        ("mbv2-cifar:d212-k35373-e63366", "kernel 7 is not in the pool"),
        ("mbv2-cifar:d212-k35333-e6336x", "`e6336x` wanted `e` and 5 digits"),
        ("mbv2-cifar:d212-k35333-e63366-s00000", "has 4 parts, wanted dDEPTHS-kKERNELS-eEXPANSIONS"),
        ("mbv2-photo:d11111-k33333-e33333", "has 3 parts, wanted dDEPTHS-kKERNELS-eEXPANSIONS-sSE"),
        ("mbv2-photo:d1111-k3333-e3333-s0000", "`d1111` wanted `d` and 5 digits"),
        ("mbv2-photo:d51111-k3-e3-s0", "depth of stage 0 is 5, wanted 1 to 4"),
        ("mbv2-photo:d11110-k3-e3-s0", "depth of stage 4 is 0, wanted 1 to 4"),
        ("mbv2-photo:d11111-k33343-e33333-s00000", "kernel 4 is not in the pool, wanted one of [3, 5, 7]"),
        ("mbv2-photo:d11111-k33333-e33353-s00000", "expansion 5 is not in the pool, wanted one of [3, 4, 6]"),
        ("mbv2-photo:d11111-k33333-e33333-s0000", "`s0000` wanted `s` and 5 digits"),
        (
            "mbv2-photo:d11111-k33333-e33333-s00020",
            "squeeze-and-excitation 2 is not in the pool, wanted one of [0, 1]",
        ),
        ("mbv2-photo:d11111-k33333-e33333-00000", "`00000` wanted `s` and 5 digits"),
        ("res-photo:d1111-k3333-e1111-s0000", "has 4 parts"),
    ];
    for (id, wanted) in cases {
        let error = student(id, INPUT, 10).unwrap_err();
        assert!(error.to_string().contains(wanted), "{id}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
}

/// Strides and widths: the side of each stage's output, by hand.
#[test]
fn a_thousand_students_lower_at_each_picture_size() {
    for (name, at) in [
        (
            "mbv2-photo",
            [(96, vec![24, 12, 6, 6, 3]), (128, vec![32, 16, 8, 8, 4]), (224, vec![56, 28, 14, 14, 7])],
        ),
        (
            "mbv2-photo-lite",
            [(96, vec![24, 12, 6, 6, 3]), (128, vec![32, 16, 8, 8, 4]), (224, vec![56, 28, 14, 14, 7])],
        ),
        ("res-photo", [(96, vec![24, 12, 6, 3]), (128, vec![32, 16, 8, 4]), (224, vec![56, 28, 14, 7])]),
    ] {
        let pool = named(name).unwrap();
        for (side, wanted) in at {
            let [least, most] = pool.ends().map(|p| cost(&pool.arch(&p, square(side), 10).unwrap()));
            for i in 0..1000 {
                let spec = pool.arch(&pool.sample(3, i), square(side), 10).unwrap();
                let graph = Graph::lower(&spec).unwrap();
                let sides: Vec<usize> = graph.stages.iter().map(|s| graph.shape(s.value)[1]).collect();
                assert_eq!(sides, wanted, "{} at {side}", spec.name);
                let found = Cost::of(&graph);
                assert!((least.macs..=most.macs).contains(&found.macs), "{}: {found:?}", spec.name);
                assert!((least.params..=most.params).contains(&found.params), "{}: {found:?}", spec.name);
            }
        }
    }
}

/// How far each pool reaches, in millions of multiply-accumulates of ten classes: docs/pools.md says the same.
#[test]
fn pools_reach_where_they_should() {
    for (name, side, wanted) in [
        ("mbv2-photo", 96, [7.7, 17.1, 27.3, 39.0, 71.1]),
        ("mbv2-photo", 224, [42.0, 92.8, 147.8, 211.6, 381.3]),
        ("mbv2-photo-lite", 96, [2.2, 5.0, 7.7, 10.6, 21.3]),
        ("mbv2-photo-lite", 224, [11.8, 27.2, 41.6, 57.5, 114.2]),
        ("res-photo", 96, [7.3, 25.1, 48.4, 75.6, 154.1]),
        ("res-photo", 224, [39.6, 136.9, 263.4, 411.4, 839.1]),
    ] {
        let spread = named(name).unwrap().spread(square(side), 10, 1000).unwrap();
        let found = spread.map(|spec| (cost(&spec).macs as f64 / 1e5).round() / 10.0);
        assert_eq!(found, wanted, "{name} at {side}");
        let row = format!("| {name} | {side} | {} |\n", wanted.map(|m| format!("{m:.1}")).join(" | "));
        assert!(include_str!("../../../../docs/pools.md").contains(&row), "{row}");
    }
    let pool = named("mbv2-photo-lite").unwrap();
    let few = |i: &u64| cost(&pool.arch(&pool.sample(0, *i), square(96), 10).unwrap()).macs <= 15_000_000;
    let few = (0..1000).filter(few).count();
    assert!(few >= 990, "{few} of 1000 students of at most 15 MMACs at 96 pixels");
}

/// Counted by another program (Python, from the ids' digits, the widths and the papers' tables alone).
#[test]
fn costs_by_another_program() {
    let cases = [
        ("mbv2-photo:d11111-k33333-e33333-s00000", 224, 42_019_288, 142_682),
        (
            "mbv2-photo:d44444-k77777777777777777777-e66666666666666666666-s11111111111111111111",
            224,
            381_315_280,
            2_684_842,
        ),
        ("mbv2-photo:d42323-k77755557375357-e33334666344444-s00100000000011", 96, 30_679_392, 778_226),
        ("mbv2-photo:d23314-k7573337373775-e6344464443666-s1101110001001", 224, 147_463_800, 1_090_442),
        ("mbv2-photo:d31314-k733735337373-e343363633363-s111111111011", 96, 20_656_856, 979_058),
        ("mbv2-photo-lite:d11111-k33333-e33333-s00000", 224, 11_789_464, 48_578),
        (
            "mbv2-photo-lite:d44444-k77777777777777777777-e66666666666666666666-s11111111111111111111",
            224,
            114_208_432,
            899_010,
        ),
        ("mbv2-photo-lite:d42323-k77755557375357-e33334666344444-s00100000000011", 96, 8_601_984, 265_050),
        ("mbv2-photo-lite:d23314-k7573337373775-e6344464443666-s1101110001001", 224, 44_597_816, 376_290),
        ("mbv2-photo-lite:d31314-k733735337373-e343363633363-s111111111011", 96, 5_570_872, 324_002),
        ("res-photo:d1111-k3333-e1111", 224, 39_589_824, 177_418),
        ("res-photo:d4444-k5555555555555555-e2222222222222222", 224, 839_094_208, 4_655_530),
        ("res-photo:d4441-k5335535333353-e1211112222211", 96, 53_550_528, 629_962),
        ("res-photo:d2133-k555535535-e222111222", 224, 347_294_144, 2_297_402),
        ("res-photo:d3113-k55335555-e11221121", 96, 42_339_264, 1_876_314),
    ];
    for (id, side, macs, params) in cases {
        let found = cost(&student(id, square(side), 10).unwrap());
        assert_eq!((found.macs, found.params), (macs, params), "{id} at {side}");
    }
}
