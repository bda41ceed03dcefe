"""The loading front end: read -> assign chunk and overlap -> spill -> sort -> COPY -> publish."""
