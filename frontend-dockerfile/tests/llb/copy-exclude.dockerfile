FROM busybox
COPY --exclude=*.md --exclude=!keep.md . /x/
ADD --exclude=dir dir2 /y/
COPY --parents --exclude=*.o a/./b /z/
