"""The published models, module by module, under the published tensor names."""
