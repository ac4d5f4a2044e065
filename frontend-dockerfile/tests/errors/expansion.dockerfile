ARG empty
FROM ${empty} AS a
FROM --platform=$BUILDPLATFROM alpine AS b
FROM ${x:?missing} AS c
FROM --platform=linux/amd64/v1/x alpine
