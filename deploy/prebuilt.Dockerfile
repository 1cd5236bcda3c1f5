# Wraps a program that is built already. The build context is a folder that holds the image's files and nothing else:
#   RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile dist --target x86_64-unknown-linux-gnu
#   install -D target/x86_64-unknown-linux-gnu/dist/dunlin image/dunlin
#   docker build -f deploy/prebuilt.Dockerfile -t dunlin:0.1.0 image
FROM scratch
COPY . /
EXPOSE 53 53/udp
ENTRYPOINT ["/dunlin"]
