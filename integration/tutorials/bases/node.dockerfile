# Stands in for node:18: Debian 12 has Node.js 18.
FROM ubuntu:latest
RUN apt-get update \
    && apt-get install -y --no-install-recommends nodejs npm \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
CMD ["node"]
