#! main http://example.org/Dockerfile
FROM busybox
COPY . /all
