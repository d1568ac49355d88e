"""Second derivatives of the loss by layer: products, eigenvalues, traces and densities of Hessian blocks."""
