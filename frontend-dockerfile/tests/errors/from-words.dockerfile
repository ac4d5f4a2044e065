FROM
FROM alpine latest
FROM alpine AS
FROM alpine IS build
FROM alpine AS build stage
