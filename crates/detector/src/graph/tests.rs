use super::*;

fn conv(out_channels: usize, kernel: usize, stride: usize) -> ConvSpec {
    ConvSpec {
        name: "conv".into(),
        geometry: Geometry { in_channels: 0, out_channels, kernel, stride },
        norm: Norm::Batch,
        activation: Activation::Relu,
    }
}

#[test]
fn channels_and_sizes_follow_the_layers() {
    let (mut graph, picture) = Graph::new();
    let wide = graph.conv(picture, conv(16, 3, 2), None);
    let pooled = graph.max_pool(wide, Window { size: 2, stride: 2, before: 0 });
    let up = graph.upsample(pooled);
    let joined = graph.concat(vec![wide, up]);
    let deep = graph.conv(joined, conv(8, 1, 1), None);
    let shuffled = graph.depth_to_space(deep);
    graph.output(shuffled);
    assert_eq!(graph.convolutions()[1].geometry.in_channels, 32);
    assert_eq!(graph.channels(shuffled), 2);
    let sizes = graph.sizes((33, 64)).unwrap_err();
    assert_eq!(sizes.to_string(), "the layers 4 and 3 meet with 17x32 and 18x32 pixels");
    assert_eq!(
        graph.sizes((32, 64)).unwrap(),
        [(32, 64), (16, 32), (8, 16), (16, 32), (16, 32), (16, 32), (32, 64)]
    );
}
