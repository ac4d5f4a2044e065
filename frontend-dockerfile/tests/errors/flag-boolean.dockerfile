FROM alpine
COPY --link= a b
COPY --parents=1 a b
ADD --keep-git-dir=yes https://github.com/a/b.git /
