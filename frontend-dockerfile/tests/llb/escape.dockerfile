# escape=`
FROM busybox
ENV W=C:\dir
RUN echo a `
  b
COPY a `
  /b
