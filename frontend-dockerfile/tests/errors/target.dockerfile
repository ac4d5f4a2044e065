#! target biuld
FROM alpine AS build
