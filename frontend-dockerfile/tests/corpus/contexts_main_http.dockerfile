#! main http://example.org/context.tar.gz=archive
#! subdir s
#! ignore a
FROM busybox
COPY a /a
