FROM busybox:latest AS base
RUN true
