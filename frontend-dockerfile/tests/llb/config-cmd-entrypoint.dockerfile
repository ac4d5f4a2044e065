FROM busybox
CMD ["a"]
ENTRYPOINT ["b"]
FROM busybox
ENTRYPOINT []
CMD []
