# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2; sys_platform == 'linux'",
#   "datasets==5.2.0",
#   "huggingface-hub==2.4.0",
#   "peft==0.21.2",
#   "torch==2.15.0",
#   "transformers==5.23.0",
#   "trl==1.16.0",
# ]
# ///
"""A training recipe of Bash Gym. Everything that differs between two runs is in the JSON file given with --config.

--check-config reads and checks that file and ends; it needs nothing but Python itself.
"""
