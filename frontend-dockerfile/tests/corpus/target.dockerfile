#! target MIDDLE
#! no-cache-filter middle
FROM alpine AS one
RUN 1
FROM one AS middle
RUN 2
FROM missing:image
RUN 3
