FROM alpine AS base
ARG TAG=3
FROM ${TAG}
