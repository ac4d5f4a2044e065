# syntax=acme/frontend:1
FROM busybox
