"""What ``doctor`` checks: a function takes the Subject and yields Findings; a file holds those of one matter."""
