"""The engines behind the workflows: plain functions on files and arrays, without Nipype."""
