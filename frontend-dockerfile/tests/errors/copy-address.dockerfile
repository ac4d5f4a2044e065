FROM alpine
COPY https://example.com/a.tgz /
COPY git@github.com:a/b.git /
