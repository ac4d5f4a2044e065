#! ignore a
#! ignore [
FROM alpine
