# escape=`
FROM alpine
RUN dir C:\ `
    && echo
COPY a C:\dest\
ENV p=C:\x q=`$p
