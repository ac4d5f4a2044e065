FROM busybox AS build
