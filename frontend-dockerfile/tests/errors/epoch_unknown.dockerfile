ARG SOURCE_DATE_EPOCH=not-a-timestamp
FROM busybox
