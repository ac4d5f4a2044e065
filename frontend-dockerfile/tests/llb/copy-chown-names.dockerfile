FROM busybox
COPY --chown=bob:staff a b https.txt /x/
ADD --chown=bob a https://example.com/f /y/
COPY --chown=bob <<one <<two /z/
1
one
2
two
FROM scratch
COPY --chown=:7 a /a
COPY --link --chown=root: b /b
