# Wraps a program that is built already; deploy/image does it all. The build context is a folder that holds the image's files and
# nothing else:
#   install -D "$(deploy/program)" image/dunlin
#   docker build -f deploy/prebuilt.Dockerfile -t dunlin:0.1.0 image
FROM scratch
COPY . /
EXPOSE 53 53/udp
ENTRYPOINT ["/dunlin"]
