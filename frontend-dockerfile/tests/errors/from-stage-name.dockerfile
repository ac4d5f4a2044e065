FROM alpine AS 1st
FROM alpine AS a/b
FROM alpine AS build.
FROM alpine AS $name
